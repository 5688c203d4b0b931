"""Who imports whom, read off the syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import networkx as nx

from tests.meta.source import Source, sources

FLOORS: tuple[set[str], ...] = (
    {
        "files",
        "guard",
        "tensor_files",
        "text_files",
        "json_values",
        "digest",
        "words",
        "catalog",
        "named_modules",
        "taps",
        "modes",
        "precision",
        "grad_scale",
        "lopsided",
        "refusals",
        "plot",
    },
    {"data", "ops"},
    {"metrics", "transforms", "sampling", "train", "transfer", "continual", "testing"},
    {"nn", "distill", "compress", "vision", "datasets"},
    {"adapters"},
    {"scaffold", "cli", "__main__"},
)
LEVEL = {room: level for level, floor in enumerate(FLOORS) for room in floor}
ALONE: dict[str, set[str]] = {"ops": {"files", "catalog"}, "catalog": {"words"}, "words": set()}
"""What some rooms may import at most: kernels know no models, the catalog no torch."""


def imported_modules(file: Source) -> Iterator[tuple[ast.stmt, str]]:
    """Absolute names of what a file imports, also inside functions, not for types alone."""
    for_types = {
        id(inner)
        for node in file.nodes
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in file.nodes:
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = file.module.split(".")
            if file.path.name != "__init__.py":
                package = package[:-1]
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node, f"{base}.{alias.name}") for alias in node.names)


def room_of(module: str, package: str) -> str | None:
    """The room a module belongs to; :obj:`None` for the package itself or another package."""
    parts = module.split(".")
    return parts[1] if parts[0] == package and len(parts) > 1 else None


def _edges(root: Path, package: str) -> Iterator[tuple[str, str, str]]:
    for file in sources(root, package):
        here = room_of(file.module, package) or "__init__"
        for node, name in imported_modules(file):
            there = room_of(name, package)
            if there is not None and there != here and not _is_plain_name(root, package, there):
                yield here, there, file.at(node)


def _is_plain_name(root: Path, package: str, name: str) -> bool:
    """Whether it is a name in the package's own ``__init__``, such as the version."""
    return not ((root / package / name).is_dir() or (root / package / f"{name}.py").is_file())


def upward_imports(root: Path, package: str = "graphkit") -> list[str]:
    """Imports from a higher floor, of the floors that stand alone, and of the test suites."""
    found = []
    for here, there, where in _edges(root, package):
        if here == "__init__":
            continue
        unknown = {here, there} - set(LEVEL)
        if unknown:
            found.append(f"{where}: no floor is set for {sorted(unknown)}")
        elif (
            LEVEL[there] > LEVEL[here]
            or there == "testing"
            or there not in ALONE.get(here, {there})
        ):
            found.append(f"{where}: {here} imports {there}")
    return found


def import_cycles(root: Path, package: str = "graphkit") -> list[str]:
    """Rooms that import each other, directly or around a corner."""
    graph = nx.DiGraph((here, there) for here, there, _ in _edges(root, package))
    return [" -> ".join([*cycle, cycle[0]]) for cycle in nx.simple_cycles(graph)]


def foreign_imports(files: list[Source], *banned: str) -> list[str]:
    """Imports of packages that these files must not know."""
    return [
        f"{file.at(node)} imports {name}"
        for file in files
        for node, name in imported_modules(file)
        if name.split(".")[0] in banned
    ]


def eager_imports(files: list[Source], *optional: str) -> list[str]:
    """Imports of optional packages at the top of a module instead of where they are used."""
    found = []
    for file in files:
        lazy = {id(inner) for function in file.functions for inner in ast.walk(function)}
        found += [
            f"{file.at(node)} imports {name} at the top"
            for node, name in imported_modules(file)
            if name.split(".")[0] in optional and id(node) not in lazy
        ]
    return found
