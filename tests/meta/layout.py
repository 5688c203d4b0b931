"""Where files may stand and whom they may import, file by file."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator

import networkx as nx

from tests.meta.imports import imported_modules
from tests.meta.source import Source

MIN_COMMENTS = 0.03
LONG_FUNCTION = 30
NAMED_BY_RECIPES = "benchmarks/protocols"
"""One file per experiment, named in recipes: a folder would change what a recipe says."""


def imports_of_files(files: list[Source]) -> Iterator[tuple[Source, str, str]]:
    """Each import of one of these files by another: who, whose module, and where."""
    known = {file.module for file in files}
    for file in files:
        for node, name in imported_modules(file):
            module = name if name in known else name.rpartition(".")[0]
            if module in known and module != file.module:
                yield file, module, file.at(node)


def file_circles(files: list[Source]) -> list[str]:
    """Files that import each other, directly, around a corner, or inside a function."""
    graph = nx.DiGraph((file.module, module) for file, module, _ in imports_of_files(files))
    return [
        " <-> ".join(sorted(circle))
        for circle in nx.strongly_connected_components(graph)
        if len(circle) > 1
    ]


def loose_siblings(files: list[Source]) -> list[str]:
    """Three files in one folder that share the first word of their names."""
    siblings = defaultdict(list)
    for file in files:
        if file.path.parent.relative_to(file.root).as_posix() != NAMED_BY_RECIPES:
            siblings[file.path.parent, file.path.stem.split("_")[0]].append(file.name)
    return [
        f"{', '.join(names)}: make a folder of them"
        for (_, word), names in siblings.items()
        if len(names) > 2 and word
    ]


def shadowed_modules(files: list[Source]) -> list[str]:
    """Modules named like something that their package exports: only one of them can be had."""
    complaints = []
    for file in files:
        if file.path.name != "__init__.py":
            continue
        exported = {
            alias.asname or alias.name
            for node in file.nodes
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        exported |= {node.name for node in file.tree.body if isinstance(node, DEFINITIONS)}
        folder = file.path.parent
        modules = {path.stem for path in folder.glob("*.py")}
        modules |= {path.parent.name for path in folder.glob("*/__init__.py")}
        complaints += [f"{file.name} exports {name}, a module" for name in exported & modules]
    return complaints


DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def uncommented(files: list[Source]) -> list[str]:
    """Kernels, and functions over thirty lines, in which too few lines say why.

    The lines of code count, not those of the docstring; so do comments after code.
    """
    complaints = []
    for file in files:
        kernel = "/kernels/" in f"/{file.name}" and file.path.name != "__init__.py"
        commented = {line for line, _ in file.comments}
        if kernel and _too_few(file, commented, 1, len(file.lines)):
            complaints.append(f"{file.name} has too few comments for a kernel")
        complaints += [
            f"{file.at(node)} {node.name} is long and says nowhere why"
            for node in file.functions
            if code_lines(file, node) > LONG_FUNCTION
            and _too_few(file, commented, node.lineno, node.end_lineno or 0)
        ]
    return complaints


def code_lines(file: Source, node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's body that hold code."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    if not body:
        return 0
    lines = file.lines[body[0].lineno - 1 : node.end_lineno]
    return sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in lines)


def _too_few(file: Source, commented: set[int], first: int, last: int) -> bool:
    written = sum(bool(line.strip()) for line in file.lines[first - 1 : last])
    return sum(first <= line <= last for line in commented) < MIN_COMMENTS * written
