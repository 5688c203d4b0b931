"""One home for one thing: what belongs to one file is done in no other."""

from __future__ import annotations

import ast

from tests.meta.source import Source


def modes_by_hand(files: list[Source]) -> list[str]:
    """Modes remembered or set by hand; ``graphkit.modes`` puts them back after exceptions too.

    What a module's own ``train`` does is its own affair.
    """
    complaints = []
    for file in files:
        overrides = [function for function in file.functions if function.name == "train"]
        excused = {id(inner) for function in overrides for inner in ast.walk(function)}
        for node in ast.walk(file.tree):
            if isinstance(node, ast.Assign) and id(node) not in excused:
                remembered = node.value.elt if isinstance(node.value, ast.ListComp) else node.value
                sides = [*node.targets, remembered, *getattr(remembered, "elts", [])]
                if any(isinstance(s, ast.Attribute) and s.attr == "training" for s in sides):
                    complaints.append(f"{file.at(node)} handles modes by hand; use graphkit.modes")
    return [one for one in complaints if not one.startswith("graphkit/modes.py:")]
