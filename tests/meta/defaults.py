"""Defaults that docstrings state, against those that signatures have."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from tests.meta.source import sources

ENTRY = re.compile(r"^    (\w+(?:, \w+)*) \((?:[^()]|\([^()]*\))*\):\s", re.MULTILINE)
STATED = re.compile(r"\(default:\s+(?::obj:`|``)([^`]+)`")
NONE_SUCH = object()
Function = ast.FunctionDef | ast.AsyncFunctionDef


def other_defaults(root: Path, package: str = "graphkit") -> list[str]:
    """Documented defaults that are not those of the code, with both."""
    faults = []
    for file in sources(root, package):
        for node in ast.walk(file.tree):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                values = signature_of(node)
                for name, words in stated(ast.get_docstring(node) or ""):
                    value, said = values.get(name, NONE_SUCH), literal(words)
                    # Behind None stands what the text says, found when it is needed.
                    known = value is not None and NONE_SUCH not in (value, said)
                    if known and not same(value, said):
                        faults.append(
                            f"{file.at(node)} {node.name}: '{name}' is {value!r}, not {said!r}"
                        )
    return faults


def stated(docstring: str) -> Iterator[tuple[str, str]]:
    """Names of parameters and the defaults that an ``Args:`` section gives them."""
    _, _, section = docstring.partition("Args:\n")
    section = re.split(r"\n\S", section)[0]
    entries = list(ENTRY.finditer(section))
    for entry, after in zip_longest(entries, entries[1:]):
        default = STATED.search(section[entry.end() : after.start() if after else None])
        if default:
            yield entry[1], " ".join(default[1].split())


def signature_of(node: ast.ClassDef | ast.FunctionDef) -> dict[str, Any]:
    """Literal defaults of a function, of a class's ``__init__``, or of a dataclass's fields."""
    if isinstance(node, ast.FunctionDef):
        return defaults_of(node)
    inits = [each for each in node.body if isinstance(each, Function) and each.name == "__init__"]
    if inits:
        return defaults_of(inits[0])
    fields = [each for each in node.body if isinstance(each, ast.AnnAssign) and each.value]
    return {ast.unparse(each.target): literal(each.value) for each in fields}


def defaults_of(function: Function) -> dict[str, Any]:
    """Names and literal defaults."""
    given = function.args
    named = [*given.posonlyargs, *given.args]
    pairs = list(zip(named[len(named) - len(given.defaults) :], given.defaults, strict=True))
    pairs += [pair for pair in zip(given.kwonlyargs, given.kw_defaults, strict=True) if pair[1]]
    return {name.arg: literal(value) for name, value in pairs}


def literal(value: Any) -> Any:
    """What a piece of code stands for, if it is a plain value."""
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return NONE_SUCH


def same(one: Any, two: Any) -> bool:
    """Whether two values are one default; a list may be called a tuple."""
    one, two = (tuple(each) if isinstance(each, list) else each for each in (one, two))
    return bool(one == two) and isinstance(one, bool) == isinstance(two, bool)
