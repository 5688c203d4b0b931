"""Bounds that errors state, against those that the code in front of them has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.meta.source import Source, sources

Claim = tuple[str, float]
"""What is allowed: ``">="``, ``">"``, ``"<="`` or ``"<"``, and a number."""

NUMBER = r"(-?\d+(?:\.\d+)?|one|two|three)"
INTERVAL = re.compile(rf"([\[(]){NUMBER}, (?:{NUMBER}|)([\])]|$)")
STATED = (
    (re.compile(rf"(?:at least|number from) {NUMBER}\b(?! (?:sample|loss|submodule)s?\b)"), ">="),
    (re.compile(rf"needs at least {NUMBER} "), ">="),
    (re.compile(rf"above {NUMBER}\b"), ">"),
    (re.compile(rf"more than {NUMBER}\b"), ">"),
    (re.compile(rf"at most {NUMBER}\b"), "<="),
    (re.compile(rf"below {NUMBER}\b"), "<"),
    (re.compile(rf"(?:between|from|in|\band) {NUMBER} (?:and|to|…)"), ">="),
    (re.compile(rf"(?:between|from|in) {NUMBER} (?:and|to|…) {NUMBER}"), "<=2"),
)
WORDS = {"one": 1.0, "two": 2.0, "three": 3.0}
ALLOWED: dict[type, str] = {ast.Lt: ">=", ast.LtE: ">", ast.Gt: "<=", ast.GtE: "<"}
"""What is left where a comparison raises."""
HOLDS: dict[type, str] = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}


def wrong_bounds(root: Path, package: str = "graphkit") -> list[str]:
    """Errors that state other bounds than the code has, with both."""
    return [
        f"{file.at(node)} the code has {shown(coded)}, the error says {shown(said)}"
        for file in sources(root, package)
        for node, coded, said in stated_bounds(file)
        if coded != said
    ]


def stated_bounds(file: Source) -> Iterator[tuple[ast.If, set[Claim], set[Claim]]]:
    """Conditions in front of errors that speak of bounds; what they allow, and what is said."""
    for node in file.nodes:
        if isinstance(node, ast.If) and isinstance(node.body[0], ast.Raise):
            words = words_of(node.body[0])
            said, coded = claims_of(words), set(allowed(node.test))
            if "positive" in words:
                # Of whole numbers those from 1 are positive.
                said |= {(">", 0.0), (">=", 1.0)} & coded or {(">", 0.0)}
            if said and (coded or bounded(node.test)):
                yield node, coded, said


def words_of(node: ast.Raise) -> str:
    """The text of an error, a blank in place of what is filled in."""
    parts = [
        each.value
        for each in ast.walk(node)
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    ]
    return "".join(parts)


def claims_of(words: str) -> set[Claim]:
    """The bounds that a text speaks of."""
    claims: set[Claim] = set()
    for left, low, high, right in INTERVAL.findall(words):
        claims.add((">=" if left == "[" else ">", number(low)))
        if high:
            claims.add(("<=" if right == "]" else "<", number(high)))
    for pattern, sign in STATED:
        for match in pattern.finditer(words):
            claims.add((sign[:2], number(match[int(sign[2:] or 1)])))
    if "not negative" in words or "not be negative" in words:
        claims.add((">=", 0.0))
    return claims


def number(word: str) -> float:
    """A number, written out or not."""
    return WORDS[word] if word in WORDS else float(word)


def allowed(node: ast.AST, raises: bool = True) -> Iterator[Claim]:
    """What a condition allows of the numbers in it; several that must hold together, joined as they
    must be."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield from allowed(node.operand, not raises)
    elif isinstance(node, ast.Compare):
        yield from compared(node, raises)
    elif isinstance(node, ast.BoolOp | ast.BinOp):
        values = node.values if isinstance(node, ast.BoolOp) else [node.left, node.right]
        parts = [set(allowed(each, raises)) for each in values]
        # One bound that is broken is enough.
        joined = isinstance(node.op, (ast.Or, ast.BitOr) if raises else (ast.And, ast.BitAnd))
        if joined or sum(map(bool, parts)) < 2:
            yield from set().union(*parts)
        else:
            yield ("joined otherwise", 0.0)
    elif isinstance(node, ast.Call):
        yield from quantified(node, raises)


def quantified(node: ast.Call, raises: bool) -> Iterator[Claim]:
    """The bounds inside ``any(...)``, ``all(...)``, ``bool(...)`` and the methods of tensors."""
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    inner = node.args
    if isinstance(node.func, ast.Attribute):
        name, inner = node.func.attr, [node.func.value]
    if {"any": raises, "all": not raises, "bool": True}.get(name):
        for each in inner:
            yield from allowed(each.elt if isinstance(each, ast.GeneratorExp) else each, raises)


def compared(node: ast.Compare, raises: bool) -> Iterator[Claim]:
    """The bounds in one comparison."""
    terms = [node.left, *node.comparators]
    for one, operator, two in zip(terms, node.ops, terms[1:], strict=False):
        sign = (ALLOWED if raises and len(node.ops) == 1 else HOLDS).get(type(operator))
        first, second = literal(one), literal(two)
        if sign and raises and len(node.ops) > 1 and None in (first, second):
            yield ("not denied", 0.0)
        elif sign and second is not None and first is None:
            yield (sign, second)
        elif sign and first is not None and second is None:
            yield (MIRRORED[sign], first)


def literal(node: ast.AST) -> float | None:
    """A number that stands in the code."""
    try:
        value: Any = ast.literal_eval(node)
    except (ValueError, TypeError):
        return None
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if plain else None


def bounded(node: ast.AST) -> bool:
    """Whether numbers are compared in a condition."""
    return any(
        isinstance(each, ast.Compare)
        and any(isinstance(op, ast.Lt | ast.LtE | ast.Gt | ast.GtE) for op in each.ops)
        and any(literal(term) is not None for term in (each.left, *each.comparators))
        for each in ast.walk(node)
    )


def shown(claims: set[Claim]) -> str:
    """Bounds in words."""
    return ", ".join(f"{sign} {value:g}" for sign, value in sorted(claims)) or "none"
