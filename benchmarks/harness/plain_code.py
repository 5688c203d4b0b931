"""A statement without what changes no result, and the definitions that it uses."""

# fingerprint: not counted

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["Function", "Key", "Plain", "Source", "bound"]

REFUSALS = {"graphkit.words", "graphkit.lopsided", "graphkit.refusals"}
"""Where functions live that do nothing, raise or warn: a statement that calls one changes no
figure."""
HALF = ("graphkit.ops.dtypes", "is_half")
"""What asks for 16 bits: no record is made in them, so nothing under it changes a figure."""
REFLECTION = {"eval", "exec", "locals", "vars"}

Key = tuple[str, str]
Function = ast.FunctionDef | ast.AsyncFunctionDef
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@dataclass
class Source:
    """One file: what it defines, what it imports, and what it does as soon as it is loaded.

    Args:
        counted (bool): Whether it does not carry the line ``# fingerprint: not counted``.
        package (bool): Whether it is the ``__init__`` of a folder.
        defined (dict): The statements that make each name, in the order of the file.
        imported (dict): Module and name behind each imported name; no name for a module.
        examined (dict): Of each statement the hash, and the definitions that it uses.
        stands_for (str): The module that it does faster, after ``# fingerprint: as``; else empty.
    """

    counted: bool
    package: bool
    defined: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imported: dict[str, Key] = field(default_factory=dict)
    examined: dict[int, tuple[str, list[Key]]] = field(default_factory=dict)
    stands_for: str = ""


class Lookup(Protocol):
    """What is asked of a checkout."""

    def source(self, module: str) -> Source | None:
        """A module of it, taken apart; nothing for any other."""

    def definition(self, module: str, name: str) -> Key:
        """Module and name behind ``from module import name``."""

    def whole(self, module: str) -> list[Key]:
        """All definitions of a module."""


def bound(statements: Sequence[ast.AST]) -> dict[str, str]:
    """Names that statements bind in their own scope, with their number, or with themselves."""
    names: dict[str, str] = {}
    outside: set[str] = set()
    waiting = deque(statements)
    while waiting:
        node = waiting.popleft()
        if isinstance(node, Function | ast.ClassDef):
            names[node.name] = node.name
            continue
        if isinstance(node, ast.Lambda | ast.Import | ast.ImportFrom):
            continue
        if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            names[node.name] = node.name
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.setdefault(node.id, str(len(names)))
        if isinstance(node, ast.Global | ast.Nonlocal):
            outside |= set(node.names)
        if isinstance(node, ast.comprehension):
            waiting += [node.iter, *node.ifs]
        else:
            waiting += ast.iter_child_nodes(node)
    return {name: label for name, label in names.items() if name not in outside}


class Plain(ast.NodeTransformer):
    """Takes from a statement what changes no result, and collects the definitions it uses.

    Names that a module binds are replaced by the names of what they stand for, so that an alias
    does not count; names of local variables by numbers. A scope maps names to their replacements;
    the functions in a class do not see the class's own names.

    Args:
        checkout (Lookup): Where to look names up.
        module (str): The module that holds the statement.
    """

    def __init__(self, checkout: Lookup, module: str) -> None:
        self.checkout, self.module = checkout, module
        self.uses: list[Key] = []
        self.scopes: list[tuple[bool, dict[str, str]]] = []

    def statements(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """The statements of a body, each rewritten or left out."""
        return [plain for plain in map(self.visit, body) if plain is not None]

    def visit_FunctionDef(self, node: Function) -> ast.AST:
        node.returns = None
        # Before local names get their numbers: what only a refusal binds must not move the others.
        node.body = self.without_refusals(node.body)
        self.decorators(node)
        node.args = self.visit(node.args)
        numbers = {
            name: label if label == name else f"{len(self.scopes)}.{label}"
            for name, label in bound(node.body).items()
        }
        if any(isinstance(each, ast.Name) and each.id in REFLECTION for each in ast.walk(node)):
            numbers = {name: name for name in numbers}
        outer, self.scopes = self.scopes, [scope for scope in self.scopes if not scope[0]]
        self.scopes.append((False, numbers | parameters(node.args)))
        node.body = self.statements(node.body)
        self.scopes = outer
        return node

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.decorators(node)
        node.bases = [self.visit(base) for base in node.bases]
        node.keywords = [self.visit(keyword) for keyword in node.keywords]
        self.scopes.append((True, {name: name for name in bound(node.body)}))
        node.body = self.statements(node.body)
        self.scopes.pop()
        return node

    def decorators(self, node: Function | ast.ClassDef) -> None:
        """Rewrites what decorates a definition; cards are left out."""
        node.decorator_list = [
            self.visit(each) for each in node.decorator_list if not self.card(each)
        ]

    def without_refusals(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """The statements without calls for nothing but an error or a warning, and without what
        is done in half precision alone."""
        rest = []
        for statement in body:
            if isinstance(statement, ast.If) and self.asks_for_half(statement.test):
                rest += statement.orelse
                continue
            call = statement.value if isinstance(statement, ast.Expr) else None
            if not (isinstance(call, ast.Call) and self.home(call.func) in REFUSALS):
                rest.append(statement)
        return rest

    def asks_for_half(self, test: ast.expr) -> bool:
        """Whether a test, or one that must hold with others, is that of half precision."""
        parts = (
            test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]
        )
        calls = [part.func for part in parts if isinstance(part, ast.Call)]
        return any(self.meaning(function) == HALF for function in calls)

    def home(self, function: ast.expr) -> str:
        """The module that something comes from; empty if it is none of the checkout."""
        module, _ = self.meaning(function) or ("", "")
        return module

    def card(self, decorator: ast.expr) -> bool:
        """Whether a decorator comes from a file that does not count, as cards do."""
        made = decorator.func if isinstance(decorator, ast.Call) else decorator
        source = self.checkout.source(self.home(made))
        return source is not None and not source.counted

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        node.args = self.visit(node.args)
        outer, self.scopes = self.scopes, [scope for scope in self.scopes if not scope[0]]
        self.scopes.append((False, parameters(node.args)))
        node.body = self.visit(node.body)
        self.scopes = outer
        return node

    def visit_ListComp(self, node: Comprehension) -> ast.AST:
        node.generators[0].iter = self.visit(node.generators[0].iter)
        labels = bound([each.target for each in node.generators])
        depth = len(self.scopes)
        self.scopes.append((False, {name: f"{depth}.{label}" for name, label in labels.items()}))
        for number, each in enumerate(node.generators):
            each.target = self.visit(each.target)
            each.iter = self.visit(each.iter) if number else each.iter
            each.ifs = [self.visit(test) for test in each.ifs]
        for part in ("key", "value") if isinstance(node, ast.DictComp) else ("elt",):
            setattr(node, part, self.visit(getattr(node, part)))
        self.scopes.pop()
        return node

    visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_ListComp  # noqa: N815

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.target = self.visit(node.target)
        if node.value is not None:
            return ast.Assign(targets=[node.target], value=self.visit(node.value))
        node.annotation = ast.Constant(value=None)
        return node

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        return None

    visit_ImportFrom = visit_Import  # noqa: N815

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant):
            return None
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return ast.Raise(exc=None, cause=None)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        for _, scope in reversed(self.scopes):
            if node.id in scope:
                return ast.Name(scope[node.id], node.ctx)
        key = self.meaning(node)
        return node if key is None or isinstance(node.ctx, ast.Store) else self.use(key)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        key = self.meaning(node)
        return self.generic_visit(node) if key is None else self.use(key)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        module, _, name = node.value.partition(":") if isinstance(node.value, str) else ("", "", "")
        if "." not in module or self.checkout.source(module) is None:
            return node
        self.use(self.checkout.definition(module, name))
        return ast.Constant("module")

    def meaning(self, node: ast.AST) -> Key | None:
        """Module and name of what a name or ``module.name`` stands for; nothing for the rest."""
        if isinstance(node, ast.Name) and not any(node.id in scope for _, scope in self.scopes):
            source = self.checkout.source(self.module)
            assert source is not None
            known = node.id in source.defined or node.id in source.imported
            return self.checkout.definition(self.module, node.id) if known else None
        if isinstance(node, ast.Attribute):
            module, name = self.meaning(node.value) or ("", "")
            if module and not name and self.checkout.source(module) is not None:
                return self.checkout.definition(module, node.attr)
        return None

    def use(self, key: Key) -> ast.Name:
        """Notes the use of a definition; a plain module that is passed about is used whole."""
        module, name = key
        source = self.checkout.source(module)
        if source is None:
            return ast.Name(f"{module}.{name}".rstrip("."), ast.Load())
        if name:
            self.uses.append(key)
        elif not source.package:
            self.uses += self.checkout.whole(module)
        return ast.Name(name or "module", ast.Load())


def parameters(arguments: ast.arguments) -> dict[str, str]:
    """Names of parameters; callers use them, so they count."""
    return {node.arg: node.arg for node in ast.walk(arguments) if isinstance(node, ast.arg)}
