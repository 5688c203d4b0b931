"""One home for one thing: what belongs to one file is done in no other."""

from __future__ import annotations

import ast

from graphkit.catalog import ROOMS
from tests.meta.imports import imported_modules
from tests.meta.source import Source


def modes_by_hand(files: list[Source]) -> list[str]:
    """Modes remembered or set by hand; ``graphkit.modes`` puts them back after exceptions too.

    What a module's own ``train`` does is its own affair.
    """
    complaints = []
    for file in files:
        overrides = [function for function in file.functions if function.name == "train"]
        excused = {id(inner) for function in overrides for inner in ast.walk(function)}
        for node in file.nodes:
            if isinstance(node, ast.Assign) and id(node) not in excused:
                remembered = node.value.elt if isinstance(node.value, ast.ListComp) else node.value
                sides = [*node.targets, remembered, *getattr(remembered, "elts", [])]
                if any(isinstance(s, ast.Attribute) and s.attr == "training" for s in sides):
                    complaints.append(f"{file.at(node)} handles modes by hand; use graphkit.modes")
    return [one for one in complaints if not one.startswith("graphkit/modes.py:")]


def hints_by_hand(files: list[Source]) -> list[str]:
    """Similar words looked for outside ``graphkit.words``."""
    return [
        f"{file.at(node)} looks for similar words; use graphkit.words.did_you_mean"
        for file in files
        for node in file.nodes
        if isinstance(node, ast.Import | ast.ImportFrom)
        and "difflib" in (getattr(node, "module", ""), *(alias.name for alias in node.names))
        and file.name != "graphkit/words.py"
    ]


def rooms_listed_again(files: list[Source]) -> list[str]:
    """Lists of rooms beside those of ``graphkit.catalog``."""
    return [
        f"{file.at(node)} lists rooms; use graphkit.catalog.ROOMS"
        for file in files
        for node in file.nodes
        if isinstance(node, ast.Tuple | ast.List | ast.Set)
        and len({getattr(each, "value", None) for each in node.elts} & set(ROOMS)) >= 3
        and file.name != "graphkit/catalog.py"
    ]


def protocols_import_each_other(files: list[Source]) -> list[str]:
    """Imports of ``benchmarks.protocols`` by a protocol, or by what protocols share."""
    return [
        f"{file.at(node)} imports {name}; what protocols share belongs in benchmarks.problems"
        for file in files
        if file.name.startswith(("benchmarks/protocols/", "benchmarks/problems/"))
        for node, name in imported_modules(file)
        if name.startswith("benchmarks.protocols")
    ]


def unread_sections(files: list[Source]) -> list[str]:
    """Parameters of a protocol's ``run`` that it never reads: a section that changes nothing."""
    complaints = []
    for file in files:
        for function in file.functions:
            if function.name != "run" or not file.name.startswith("benchmarks/protocols/"):
                continue
            nodes = [inner for statement in function.body for inner in ast.walk(statement)]
            read = {node.id for node in nodes if isinstance(node, ast.Name)}
            arguments = function.args.args + function.args.kwonlyargs
            complaints += [
                f"{file.at(function)} run() takes {each.arg!r} and never reads it"
                for each in arguments
                if each.arg not in read
            ]
    return complaints
