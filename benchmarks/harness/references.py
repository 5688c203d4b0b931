"""Things of one's own in a recipe: ``module:Class``, importable from the current folder."""

# fingerprint: not counted

from __future__ import annotations

import hashlib
import importlib
import inspect
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.harness.errors import RecipeError
from graphkit.words import did_you_mean

__all__ = ["hash_of", "imported", "is_reference", "protocol"]


def is_reference(name: Any) -> bool:
    """Whether a name in a recipe says where to import something from: ``package.module:Class``."""
    module, sign, thing = str(name).partition(":")
    words = [*module.split("."), *thing.split(".")]
    return bool(sign) and all(word.isidentifier() for word in words)


def imported(reference: str, where: str = "recipe") -> Any:
    """What ``module:Class`` names.

    Modules of the current folder are found last, so none of them hides an installed one.

    Args:
        reference (str): A module's name, a colon, and a name in it.
        where (str, optional): What asks for it; errors begin with it.

    Raises:
        RecipeError: If the module cannot be imported or holds no such name.
    """
    name, _, path = reference.partition(":")
    here = os.getcwd()
    if not {"", here} & set(sys.path):
        sys.path.append(here)
    try:
        thing: Any = importlib.import_module(name)
    except ModuleNotFoundError as error:
        # A module that is there, but wants one that is not, has another remedy.
        cause = f"it imports '{error.name}', which is not there"
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            cause = f"there is no module '{error.name}' in '{here}' nor among what is installed"
        raise RecipeError(f"{where}: cannot import '{reference}': {cause}") from error
    except (ImportError, SyntaxError) as error:
        raise RecipeError(f"{where}: cannot import '{reference}': {error}") from error
    for word in path.split("."):
        if not hasattr(thing, word):
            public = [each for each in vars(thing) if not each.startswith("_")]
            raise RecipeError(f"{where}: no '{word}' in '{name}'; {did_you_mean(word, public)}")
        thing = getattr(thing, word)
    return thing


def protocol(reference: str, where: str = "recipe") -> Any:
    """A protocol of one's own: something with ``run``, ``MAIN`` and, if it likes, ``load``.

    ``module:run`` may also name the function itself; ``MAIN`` and ``load`` then lie in its module.

    Raises:
        RecipeError: If it has no ``run``, or no ``MAIN``.
    """
    thing = imported(reference, where)
    if inspect.isfunction(thing):
        module = sys.modules[thing.__module__]
        parts = {name: getattr(module, name) for name in ("MAIN", "load") if hasattr(module, name)}
        thing = SimpleNamespace(run=thing, **parts)
    elif inspect.isclass(thing):
        try:
            thing = thing()
        except TypeError as error:
            raise RecipeError(
                f"{where}: protocol '{reference}' cannot be made without arguments: {error}"
            ) from error
    if not callable(getattr(thing, "run", None)):
        raise RecipeError(f"{where}: protocol '{reference}' has no 'run(...)'")
    if not isinstance(getattr(thing, "MAIN", None), str):
        raise RecipeError(
            f"{where}: protocol '{reference}' has no 'MAIN', the name of its main metric"
        )
    return thing


def hash_of(references: Iterable[str]) -> str:
    """Hash of the files behind things of one's own: of the module that is named, and of the one
    that a thing was made in; empty if there are none."""
    digest = hashlib.sha256()
    files = {file for each in references for file in files_of(each)}
    for file in sorted(files):
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()[:16] if files else ""


def files_of(reference: str) -> set[str]:
    """The files with the code of ``module:Class``."""
    made = getattr(imported(reference), "__module__", None)
    modules = [sys.modules.get(name) for name in (reference.partition(":")[0], made) if name]
    files = (getattr(module, "__file__", None) for module in modules)
    return {file for file in files if file and Path(file).is_file()}
