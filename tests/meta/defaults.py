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


def unstated(root: Path, package: str = "graphkit") -> dict[str, Any]:
    """Numbers and switches that are defaults, but of which no docstring says what they are.

    Returns:
        dict: Values by ``path/of/file.py Class.function argument``.
    """
    found: dict[str, Any] = {}
    for file in sources(root, package):
        place = file.name.removeprefix(f"{package}/")
        for owner, node in functions_of(file.tree):
            texts = [ast.get_docstring(node)]
            texts += [ast.get_docstring(owner)] if owner and node.name == "__init__" else []
            known = {name for text in texts for name, _ in stated(text or "")}
            for name, value in defaults_of(node).items():
                if name not in known and is_number(value):
                    title = f"{owner.name}.{node.name}" if owner else node.name
                    found[f"{place} {title} {name}"] = value
    return found


def functions_of(
    tree: ast.AST, owner: ast.ClassDef | None = None
) -> Iterator[tuple[ast.ClassDef | None, ast.FunctionDef]]:
    """All functions with the classes whose methods they are."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            yield owner, node
        inner = node if isinstance(node, ast.ClassDef) else None
        yield from functions_of(node, inner)


def is_number(value: Any) -> bool:
    """Whether a value is a number, a switch, or a tuple of such."""
    if isinstance(value, tuple):
        return bool(value) and all(map(is_number, value))
    return isinstance(value, bool | int | float)
