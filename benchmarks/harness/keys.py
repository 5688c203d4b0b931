"""The keys and values of a recipe's section against the signature of what they are passed to."""

# fingerprint: not counted

from __future__ import annotations

import collections.abc
import inspect
import types
from collections.abc import Callable, Iterable
from typing import Any, Literal, Union, get_args, get_origin

from benchmarks.harness.errors import RecipeError
from graphkit.words import did_you_mean

__all__ = ["OFFERED", "check_keys", "parameters"]

OFFERED = ("seed", "fit", "note_size")
"""What a protocol's ``run`` may take from the runner; the rest are sections of the recipe."""
WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a word",
    type(None): "null",
    list: "a list",
    tuple: "a list",
    dict: "a mapping",
}
"""What the types that YAML knows are called."""
LISTS = (
    list,
    tuple,
    set,
    frozenset,
    collections.abc.Sequence,
    collections.abc.Iterable,
    collections.abc.Collection,
)
MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Named parameters of a function, or of a class with those of its bases behind ``**``.

    Annotations are evaluated where their names are known, and left as text where they are not.
    """
    if not inspect.isclass(function):
        return evaluated(function)
    named: dict[str, inspect.Parameter] = {}
    for cls in function.__mro__:
        if "__init__" not in vars(cls) or cls is object:
            continue
        here = evaluated(vars(cls)["__init__"])
        named = {**here, **named}
        if all(p.kind is not inspect.Parameter.VAR_KEYWORD for p in here.values()):
            break
    return named


def evaluated(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Parameters with the types that their annotations name."""
    places = getattr(inspect.unwrap(function), "__globals__", {})
    named = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if isinstance(parameter.annotation, str):
            try:
                kind = eval(parameter.annotation, places)
            except (NameError, AttributeError, TypeError):
                kind = Any
            parameter = parameter.replace(annotation=kind)
        named[name] = parameter
    return named


def check_keys(
    where: str,
    given: dict[str, Any],
    function: Callable[..., Any],
    provided: Iterable[str] = (),
) -> None:
    """Compares the keys and values of a section with the signature of what they are passed to.

    Raises:
        RecipeError: If a key is unknown or missing, or a value is of another type; names the key,
            the value, its type and what is taken.
    """
    named = {
        name: parameter
        for name, parameter in parameters(function).items()
        if name not in ("self", *provided)
        and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }
    anything = any(each.kind is each.VAR_KEYWORD for each in parameters(function).values())
    for key, value in given.items():
        if key in named:
            check_value(where, key, value, named[key].annotation)
        elif key in provided or not (anything and is_foreign(function)):
            raise RecipeError(f"{where}: unknown key '{key}'; {did_you_mean(str(key), named)}")
    for key, parameter in named.items():
        if parameter.default is parameter.empty and key not in given:
            raise RecipeError(f"{where}: the key '{key}' is missing")


def is_foreign(function: Callable[..., Any]) -> bool:
    """Whether something is one's own: its ``**`` may pass on what its signature does not name."""
    package = str(getattr(function, "__module__", "")).partition(".")[0]
    return package not in ("graphkit", "benchmarks", "torch_geometric")


def check_value(where: str, key: str, value: Any, kind: Any) -> None:
    """Refuses a value of another type than the annotation says."""
    if fits(value, kind):
        return
    hint = ""
    choices = choices_of(kind)
    if choices and isinstance(value, str):
        hint = f"; {did_you_mean(value, map(str, choices))}"
    is_word = type(value) in WORDS
    what = WORDS[type(value)] if is_word else type(value).__name__
    raise RecipeError(f"{where}: '{key}' takes {described(kind)}, got {value!r} ({what}){hint}")


def fits(value: Any, kind: Any) -> bool:
    """Whether a value that YAML knows may be passed for an annotation; when in doubt it may."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return any(fits(value, each) for each in inner)
    if origin is Literal:
        return value in inner
    if origin in LISTS or kind in LISTS:
        # A tuple of mixed types is seldom enough to be checked by the one who takes it.
        item = inner[0] if inner and (origin is not tuple or inner[-1] is Ellipsis) else Any
        return isinstance(value, list | tuple) and all(fits(each, item) for each in value)
    if origin in MAPPINGS or kind in MAPPINGS:
        item = inner[1] if len(inner) == 2 else Any
        return isinstance(value, dict) and all(fits(each, item) for each in value.values())
    if kind is None or kind is type(None):
        return value is None
    if kind in (int, float):
        return isinstance(value, int if kind is int else int | float) and not isinstance(
            value, bool
        )
    return isinstance(value, kind) if kind in (bool, str) else True


def choices_of(kind: Any) -> list[Any]:
    """The values that an annotation lists."""
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    return [choice for each in get_args(kind) for choice in choices_of(each)]


def described(kind: Any) -> str:
    """An annotation in words."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(described(each) for each in inner))
    if origin is Literal:
        return "one of " + ", ".join(map(repr, inner))
    if origin in LISTS or kind in LISTS:
        return "a list"
    if origin in MAPPINGS or kind in MAPPINGS:
        return "a mapping"
    return WORDS.get(kind, getattr(kind, "__name__", str(kind)))
