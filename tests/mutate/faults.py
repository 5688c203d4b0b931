"""The faults that can be planted in a file, each a piece of text in place of another."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

COMPARISONS: dict[type, str] = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}
OPPOSITES = (
    *((ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq, ast.NotEq)),
    *((ast.Is, ast.IsNot), (ast.In, ast.NotIn)),
)
SIGNS = {one: COMPARISONS[two] for pair in OPPOSITES for one, two in (pair, pair[::-1])}
"""The words of the comparisons themselves: each is what its opposite turns into."""
TURNED: dict[type, str] = {ast.Lt: ">", ast.LtE: ">=", ast.Gt: "<", ast.GtE: "<="}
ARITHMETIC: dict[type, str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.FloorDiv: "/",
    ast.Mod: "//",
    ast.Pow: "*",
    ast.BitAnd: "|",
    ast.BitOr: "&",
}
PAIRS = (
    *(("min", "max"), ("amin", "amax"), ("argmin", "argmax"), ("minimum", "maximum")),
    *(("mean", "sum"), ("any", "all"), ("floor", "ceil"), ("clamp_min", "clamp_max")),
    *(("zeros", "ones"), ("zeros_like", "ones_like"), ("sin", "cos"), ("exp", "log1p")),
)
NAMES = dict(PAIRS) | {second: first for first, second in PAIRS}
# What only says something to people, or to the checker of types.
UNTOUCHED = (ast.Raise, ast.JoinedStr, ast.Import, ast.ImportFrom)
TYPES = ("NewType", "ParamSpec", "TypeVar", "TypeVarTuple")
"""What is called to make a type."""


@dataclass(frozen=True)
class Fault:
    """A change to a file.

    Args:
        kind (str): What was done.
        line (int): Where.
        start (int): First byte that goes.
        end (int): The byte behind it.
        text (str): What comes instead.
    """

    kind: str
    line: int
    start: int
    end: int
    text: str

    def planted(self, source: bytes) -> bytes:
        """The file with the fault."""
        return source[: self.start] + self.text.encode() + source[self.end :]

    def shown(self, source: bytes) -> str:
        """What was there and what is there now."""
        before = " ".join(source[self.start : self.end].decode().split())
        return f"`{before[:70]}` -> `{' '.join(self.text.split())[:70]}`"


def faults_of(source: bytes) -> list[Fault]:
    """Every fault that can be planted in a file, in its order."""
    starts = [0]
    for line in source.split(b"\n"):
        starts.append(starts[-1] + len(line) + 1)
    found: dict[tuple[int, int, str], Fault] = {}
    for kind, node, text in changes(ast.parse(source)):
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        fault = Fault(kind, node.lineno, start, end, text)
        if fault.planted(source) != source:
            found.setdefault((start, end, text), fault)
    return sorted(found.values(), key=lambda fault: (fault.start, fault.end, fault.text))


def changes(tree: ast.AST) -> Iterator[tuple[str, Any, str]]:
    """Kind, node and the text to put in its place, for a tree without its words and types."""
    if isinstance(tree, UNTOUCHED) or is_words(tree):
        return
    for node, text in here(tree):
        yield text[0], node, text[1]
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list", "bases", "type_comment"):
            continue
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, ast.AST):
                yield from changes(inner)


def is_words(node: ast.AST) -> bool:
    """Whether a statement is a docstring, a list of exports, or for type checkers alone."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias":
        return True
    if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in TYPES:
        return True
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    targets = node.targets if isinstance(node, ast.Assign) else []
    return any(isinstance(each, ast.Name) and each.id == "__all__" for each in targets)


def here(node: Any) -> Iterator[tuple[Any, tuple[str, str]]]:
    """The faults of one node, without those inside it."""
    if isinstance(node, ast.Compare):
        yield from compared(node)
    elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        left, right = ast.unparse(node.left), ast.unparse(node.right)
        yield node, ("arithmetic", f"({left}) {ARITHMETIC[type(node.op)]} ({right})")
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not | ast.Invert):
        yield node, ("sign", f"({ast.unparse(node.operand)})")
    elif isinstance(node, ast.BoolOp):
        word = " or " if isinstance(node.op, ast.And) else " and "
        yield node, ("logic", "(" + word.join(f"({ast.unparse(v)})" for v in node.values) + ")")
    elif isinstance(node, ast.Constant):
        for text in other_values(node.value):
            yield node, ("constant", text)
    elif isinstance(node, ast.IfExp):
        parts = [f"({ast.unparse(part)})" for part in (node.orelse, node.test, node.body)]
        yield node, ("branches", "({} if {} else {})".format(*parts))
    elif isinstance(node, ast.If | ast.While):
        yield node.test, ("branches", f"not ({ast.unparse(node.test)})")
    elif isinstance(node, ast.Expr | ast.AugAssign) and not isinstance(node.value, ast.Yield):
        yield node, ("statement", "pass")
    elif isinstance(node, ast.Call):
        yield from called(node)
    elif isinstance(node, ast.arguments):
        for value in (*node.defaults, *filter(None, node.kw_defaults)):
            if isinstance(value, ast.Constant):
                for text in other_values(value.value):
                    yield value, ("default", text)


def compared(node: ast.Compare) -> Iterator[tuple[Any, tuple[str, str]]]:
    """Another comparison of the same values."""
    values = [f"({ast.unparse(each)})" for each in node.comparators]
    for place, operator in enumerate(node.ops):
        for kind, table in (("comparison", COMPARISONS), ("turned", TURNED)):
            if type(operator) in table:
                signs = [SIGNS[type(each)] for each in node.ops]
                signs[place] = table[type(operator)]
                rest = " ".join(f"{sign} {each}" for sign, each in zip(signs, values, strict=True))
                yield node, (kind, f"(({ast.unparse(node.left)}) {rest})")


def other_values(value: Any) -> list[str]:
    """Values near one, as text; none for text and nothing."""
    if isinstance(value, bool):
        return [str(not value)]
    if isinstance(value, int):
        return [str(value + 1)]
    if isinstance(value, float):
        return [repr(2 * value)] if value else ["1.0"]
    return []


def called(node: ast.Call) -> Iterator[tuple[Any, tuple[str, str]]]:
    """Another function, or a keyword less."""
    function = node.func
    if isinstance(function, ast.Attribute) and function.attr in NAMES:
        yield function, ("name", f"({ast.unparse(function.value)}).{NAMES[function.attr]}")
    elif isinstance(function, ast.Name) and function.id in NAMES:
        yield function, ("name", NAMES[function.id])
    elif isinstance(function, ast.Name) and function.id in ("sorted", "reversed"):
        yield function, ("order", "list" if not node.keywords else function.id)
    for place in range(len(node.keywords)):
        words = [ast.unparse(each) for each in node.args]
        rest = [each for number, each in enumerate(node.keywords) if number != place]
        words += [f"{each.arg}={ast.unparse(each.value)}" for each in rest if each.arg]
        words += [f"**{ast.unparse(each.value)}" for each in rest if not each.arg]
        yield node, ("keyword", f"{ast.unparse(function)}({', '.join(words)})")
