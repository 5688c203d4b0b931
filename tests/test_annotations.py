"""Every public name is annotated in full, by types that exist."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import pkgutil
import typing

import pytest

import graphkit

ROOMS = (
    *("adapters", "catalog", "compress", "continual", "data", "datasets", "distill", "metrics"),
    *("nn", "ops", "plot", "sampling", "taps", "testing", "train", "transfer", "transforms"),
    "vision",
)
SKIPPED = ("self", "cls")


def public_of(room: str) -> dict[str, object]:
    module = importlib.import_module(f"graphkit.{room}")
    names = [name for name in getattr(module, "__all__", ()) if not name.startswith("_")]
    return {f"{room}.{name}": getattr(module, name) for name in names}


def functions_of(name: str, thing: object) -> dict[str, typing.Any]:
    """What is called by users: the function, or the class's own methods without those of PyG."""
    if inspect.isfunction(thing):
        return {name: thing}
    if not inspect.isclass(thing):
        return {}
    own = {}
    for cls in thing.__mro__:
        if not cls.__module__.startswith("graphkit"):
            continue
        for key, value in vars(cls).items():
            plain = value.fget if isinstance(value, property) else value
            plain = getattr(plain, "__func__", plain)
            shown = not key.startswith("_") or key in ("__init__", "__call__")
            if shown and inspect.isfunction(plain) and plain.__module__.startswith("graphkit"):
                own.setdefault(f"{name}.{key}", plain)
    return own


def lacking(function: typing.Any) -> list[str]:
    """The arguments of a function without a type, ``return``, and types that do not exist."""
    function = inspect.unwrap(function)
    signature = inspect.signature(function)
    bare = [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.annotation is parameter.empty and parameter.name not in SKIPPED
    ]
    if signature.return_annotation is signature.empty:
        bare.append("return")
    try:
        typing.get_type_hints(function, localns=for_types(function.__module__))
    except (NameError, TypeError, AttributeError) as error:
        bare.append(f"a type that is not there ({error})")
    return bare


@functools.cache
def for_types(module: str) -> dict[str, object]:
    """What a module imports for its annotations alone."""
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    guarded = [
        statement
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
    ]
    names: dict[str, object] = {}
    exec("\n".join(map(ast.unparse, guarded)), names)
    return names


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_of_a_room_is_annotated(room: str) -> None:
    faults = {
        where: bare
        for name, thing in public_of(room).items()
        for where, function in functions_of(name, thing).items()
        if (bare := lacking(function))
    }
    assert not faults, "\n".join(f"{where}: {', '.join(bare)}" for where, bare in faults.items())


def test_all_rooms_are_looked_at() -> None:
    packages = {room.name for room in pkgutil.iter_modules(graphkit.__path__) if room.ispkg}
    assert packages - set(ROOMS) == {"scaffold"}


def test_what_is_not_annotated_is_seen() -> None:
    def bad(x, y: int = 0):
        return x

    def good(x: int, *args: int, **kwargs: int) -> int:
        return x

    assert lacking(bad) == ["x", "return"]
    assert lacking(good) == []
