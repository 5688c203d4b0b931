"""The keys of a recipe's section against the signature of what they are passed to."""

# fingerprint: not counted

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.harness.errors import RecipeError
from graphkit.words import did_you_mean

__all__ = ["OFFERED", "check_keys", "parameters"]

OFFERED = ("seed", "fit", "note_size")
"""What a protocol's ``run`` may take from the runner; the rest are sections of the recipe."""


def parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Named parameters of a function, or of a class with those of its bases behind ``**``."""
    if not inspect.isclass(function):
        return dict(inspect.signature(function).parameters)
    named: dict[str, inspect.Parameter] = {}
    for cls in function.__mro__:
        if "__init__" not in vars(cls) or cls is object:
            continue
        here = dict(inspect.signature(vars(cls)["__init__"]).parameters)
        named = {**here, **named}
        if all(p.kind is not inspect.Parameter.VAR_KEYWORD for p in here.values()):
            break
    return named


def check_keys(
    where: str,
    given: dict[str, Any],
    function: Callable[..., Any],
    provided: Iterable[str] = (),
) -> None:
    """Compares the keys of a section with the signature of what they will be passed to."""
    named = {
        name: parameter
        for name, parameter in parameters(function).items()
        if name not in ("self", *provided)
        and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }
    for key in given:
        if key not in named:
            raise RecipeError(f"{where}: unknown key '{key}'; {did_you_mean(key, named)}")
    for key, parameter in named.items():
        if parameter.default is parameter.empty and key not in given:
            raise RecipeError(f"{where}: the key '{key}' is missing")
