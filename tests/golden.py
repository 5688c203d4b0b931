"""Compares graphkit with results of the authors' programs: ``python -m tests.golden FILE…``.

The name of a file begins with the name of a module of :mod:`tests.golden_checks`, which
rebuilds the published module from the parameters in the file.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from pathlib import Path
from types import ModuleType

import numpy as np

from tests import golden_checks

TOLERANCE = 1e-8


def checker(path: Path) -> ModuleType:
    """The module whose name begins the file's name; the longest one if there are several."""
    names = [module.name for module in pkgutil.iter_modules(golden_checks.__path__)]
    fitting = [name for name in names if path.name.startswith(name)]
    if not fitting:
        raise LookupError(f"{path}: no check for this name; its beginning must be one of {names}")
    return importlib.import_module(f"tests.golden_checks.{max(fitting, key=len)}")


def errors_of(path: Path) -> dict[str, float]:
    """Relative error of everything that a golden file holds results of."""
    if not path.is_file():
        raise LookupError(f"{path}: no such file; golden files end in .npz")
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return checker(path).check(arrays)


def main(arguments: list[str] | None = None) -> int:
    """Prints the errors and returns 0 if every file was checked and none is above the tolerance.

    A file that cannot be checked is named, and the others go on.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    worst, unchecked = 0.0, 0
    for path in parser.parse_args(arguments).files:
        try:
            errors = errors_of(path)
        except LookupError as error:
            print(error, file=sys.stderr)
            unchecked += 1
            continue
        worst = max(worst, *errors.values())
        listed = ", ".join(f"{name} {error:.1e}" for name, error in errors.items())
        print(f"{path.name}: largest relative error {max(errors.values()):.1e} ({listed})")
    verdict = "agrees" if worst <= TOLERANCE else "DIFFERS"
    left = f", {unchecked} not checked" if unchecked else ""
    print(f"{verdict}: largest relative error {worst:.1e}, tolerance {TOLERANCE:.0e}{left}")
    return 0 if worst <= TOLERANCE and not unchecked else 1


if __name__ == "__main__":
    sys.exit(main())
