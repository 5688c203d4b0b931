"""Where recipes come from: this checkout, a file of one's own, an installed package."""

# fingerprint: not counted

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import warnings
from pathlib import Path

from benchmarks.harness.errors import RecipeError

__all__ = ["GROUP", "file_of", "installed", "is_file"]

GROUP = "graphkit.recipes"
"""Entry points of this group name packages whose ``*.yaml`` files are recipes."""
ENDINGS = (".yaml", ".yml")


def is_file(word: str) -> bool:
    """Whether a word of the command line is the path of a recipe of one's own."""
    return word.endswith(ENDINGS)


def file_of(word: str) -> Path:
    """The recipe's file that a path names.

    Raises:
        RecipeError: If there is no such file.
    """
    path = Path(word).expanduser()
    if not path.is_file():
        beside = sorted(each.name for each in path.parent.glob("*.y*ml")) if path.parent else []
        hint = f"; '{path.parent}' holds {', '.join(beside)}" if beside else ""
        raise RecipeError(f"there is no file '{word}'{hint}")
    return path


@functools.lru_cache
def installed() -> dict[str, Path]:
    """Recipes of installed packages: ``<entry point>/<file>``, and where the file lies.

    A package brings recipes by an entry point of the group :obj:`graphkit.recipes`::

        [project.entry-points."graphkit.recipes"]
        mylab = "mylab.recipes"

    Nothing of the package is run to list them, but the packages above it are imported.
    """
    recipes: dict[str, Path] = {}
    for point in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda p: p.name):
        try:
            spec = importlib.util.find_spec(point.value)
        except (ImportError, ValueError, AttributeError) as error:
            warnings.warn(f"no recipes from entry point '{point.name}': {error}", stacklevel=2)
            continue
        folders = () if spec is None else spec.submodule_search_locations or ()
        if not folders:
            text = f"no recipes from entry point '{point.name}': '{point.value}' is no package"
            warnings.warn(text, stacklevel=2)
        for folder in folders:
            files = (path for ending in ENDINGS for path in Path(folder).glob(f"*{ending}"))
            recipes |= {f"{point.name}/{path.stem}": path for path in files}
    return dict(sorted(recipes.items()))
