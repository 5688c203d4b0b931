"""The list of parsers: a file in ``tests/fuzz/parsers`` registers those of its room."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

PARSERS: dict[str, Parser] = {}


@dataclass(frozen=True)
class Parser:
    """A function that reads bytes, and what it may raise.

    Args:
        name (str): Name for the command line.
        parse (callable): Reads bytes; gets an empty folder of its own besides. What it asserts
            about its result is part of the contract.
        seeds (callable): Gives valid inputs, which are changed; they must be accepted.
        documented (tuple of type): The exceptions that its docstring promises.
        inside (str, optional): ``"zip"`` or ``"gzip"`` if what is packed is to be changed, too.
            (default: nothing)
    """

    name: str
    parse: Callable[[bytes, Path], object]
    seeds: Callable[[], Sequence[bytes]]
    documented: tuple[type[Exception], ...]
    inside: str = ""


def parser(
    seeds: Callable[[], Sequence[bytes]],
    *documented: type[Exception],
    name: str | None = None,
    inside: str = "",
) -> Callable[[Callable[[bytes, Path], object]], Callable[[bytes, Path], object]]:
    """Registers a function under its own name."""

    def register(parse: Callable[[bytes, Path], object]) -> Callable[[bytes, Path], object]:
        key = name or parse.__name__
        if key in PARSERS:
            raise ValueError(f"two parsers are called {key!r}")
        PARSERS[key] = Parser(key, parse, seeds, documented, inside)
        return parse

    return register


def all_parsers() -> dict[str, Parser]:
    """Every parser, by name, after all files of the folder were imported."""
    from tests.fuzz import parsers

    for module in pkgutil.iter_modules(parsers.__path__):
        importlib.import_module(f"tests.fuzz.parsers.{module.name}")
    return dict(sorted(PARSERS.items()))
