"""What code a result was computed by, as one hash.

From the definitions a recipe names, every class, function and constant of this checkout that they
use is followed, through packages to where it is defined. Not followed are tables of names, and what
finds, downloads and checks files or draws progress: it decides whether a run is possible, not what
comes out. Of each definition comments, docstrings, annotations, cards and the words of errors do
not count.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.harness.environment import ROOT

__all__ = ["code_fingerprint"]

UNCOUNTED = (
    "benchmarks.harness.environment",
    "benchmarks.harness.fingerprint",
    "benchmarks.rivals.nodes",
    "benchmarks.harness.progress",
    "benchmarks.harness.recipe",
    "graphkit.catalog",
    "graphkit.datasets.store.dataset_card",
    "graphkit.datasets.store.download",
    "graphkit.datasets.store.errors",
    "graphkit.datasets.store.folders",
    "graphkit.datasets.store.integrity",
    "graphkit.datasets.store.registry",
    "graphkit.files",
    "graphkit.train.progress",
)


Examined = tuple[list[str], list[tuple[str, str]]]


@dataclass
class Source:
    """One file: what it defines, what it imports, and what it does as soon as it is loaded."""

    defined: dict[str, list[ast.stmt]]
    imported: dict[str, tuple[str, str]]
    at_once: list[ast.stmt]
    examined: dict[str, Examined] = field(default_factory=dict)


def source_file(module: str) -> Path | None:
    """File of a module of this checkout; a package is its ``__init__``."""
    if module.split(".")[0] not in ("graphkit", "benchmarks"):
        return None
    stem = ROOT.joinpath(*module.split("."))
    files = (stem.with_suffix(".py"), stem / "__init__.py")
    return next((path for path in files if path.exists()), None)


def targets(statement: ast.stmt) -> list[str]:
    """The names that a statement of a module defines."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        names = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
        return [node.id for node in names if isinstance(node.ctx, ast.Store)]
    return []


def registers(statement: ast.stmt) -> bool:
    """Whether a function is used by being decorated: an autograd rule, a custom operator."""
    decorators = getattr(statement, "decorator_list", [])
    return any("register" in ast.dump(d) or "custom_op" in ast.dump(d) for d in decorators)


@functools.cache
def read(module: str) -> Source:
    """A module of this checkout, taken apart."""
    path = source_file(module)
    assert path is not None
    tree = ast.parse(path.read_text())
    source = Source({}, {}, [])
    for statement in tree.body:
        names = targets(statement)
        for name in names:
            source.defined.setdefault(name, []).append(statement)
        bare = isinstance(statement, ast.Expr) and not isinstance(statement.value, ast.Constant)
        if registers(statement) or bare:
            source.at_once.append(statement)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                source.imported[alias.asname or alias.name] = (node.module, alias.name)
    return source


def definition(module: str, name: str) -> tuple[str, str]:
    """Module and name behind ``from module import name``; no name for a module itself."""
    if source_file(f"{module}.{name}") is not None:
        return f"{module}.{name}", ""
    path = source_file(module)
    if path is None or name in read(module).defined or name not in read(module).imported:
        return module, name
    return definition(*read(module).imported[name])


class Bare(ast.NodeTransformer):
    """Takes from a tree what changes no result."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.visit_ClassDef(node)

    def visit_ClassDef(self, node: ast.ClassDef | ast.FunctionDef) -> ast.AST:
        node.decorator_list = [d for d in node.decorator_list if "'method'" not in ast.dump(d)]
        self.generic_visit(node)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        if node.value is not None:
            return ast.Assign(targets=[node.target], value=node.value)
        node.annotation = ast.Constant(value=None)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        return None

    def visit_Import(self, node: ast.Import) -> None:
        return None

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        self.generic_visit(node)
        return None if isinstance(node.value, ast.Constant) else node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return ast.Raise(exc=None, cause=None)


def bare(statement: ast.stmt) -> ast.AST:
    """A copy of a statement without what changes no result."""
    return Bare().visit(ast.parse(ast.unparse(statement)))


def used(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Names in a tree, each with the attribute read from it at once, or nothing."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield node.value.id, node.attr
        elif isinstance(node, ast.Name):
            yield node.id, ""
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value, ""
        else:
            yield from used(node)


def needs(module: str, tree: ast.AST) -> Iterator[tuple[str, str]]:
    """The definitions of this checkout that a tree in a module uses."""
    source = read(module)
    for name, attribute in used(tree):
        if name in source.defined:
            yield module, name
        elif name in source.imported:
            found, inner = definition(*source.imported[name])
            if inner or attribute:
                yield (found, inner) if inner else definition(found, attribute)
        elif name.replace(".", "_").isidentifier() and source_file(name) is not None:
            yield from ((name, other) for other in read(name).defined)


def examine(module: str, name: str) -> Examined:
    """Hashes of a definition's statements, and the definitions that they use; found out once."""
    source = read(module)
    if name not in source.examined:
        trees = [bare(each) for each in [*source.defined.get(name, []), *source.at_once]]
        hashes = [hashlib.sha256(ast.dump(tree).encode()).hexdigest() for tree in trees]
        source.examined[name] = hashes, [pair for tree in trees for pair in needs(module, tree)]
    return source.examined[name]


def code_fingerprint(roots: Iterable[tuple[str, str]]) -> str:
    """Hash of the code behind a result.

    Args:
        roots (iterable of tuple): Module and name of the definitions to start from; an empty name
            stands for everything the module defines.
    """
    waiting: list[tuple[str, str]] = []
    for module, name in roots:
        names = [name] if name else read(module).defined
        waiting += [definition(module, one) for one in names]
    first, seen = set(waiting), {}
    while waiting:
        key = waiting.pop()
        if key in seen or source_file(key[0]) is None:
            continue
        if key[0] in UNCOUNTED and key not in first:
            continue
        seen[key], further = examine(*key)
        waiting += further
    joined = "".join(text for key in sorted(seen) for text in seen[key])
    return hashlib.sha256(joined.encode()).hexdigest()[:16]
