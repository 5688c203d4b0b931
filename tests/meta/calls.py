"""Calls that nothing else would miss: what a zip compares, what a base class prepares."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.meta.source import Source, sources

CUT = {
    "graphkit/plot.py": "as many marks as there are types of nodes",
    "graphkit/grad_scale.py": "dimensions in front of the shorter shape",
    "graphkit/adapters/graph_adapter.py": "names of the arguments that came by place",
    "graphkit/compress/block_net.py": "the last layer has no norm",
    "graphkit/compress/netgraft.py": "shapes that are compared in their number before",
    "graphkit/datasets/media/grid.py": "the codes of persons end before those of scenes",
    "graphkit/datasets/scenes/visual_genome.py": "files behind those of the splits",
    "graphkit/datasets/synthetic_factor_graphs.py": "as many templates as are asked for",
    "graphkit/distill/distiller.py": "names of the arguments that came by place",
    "graphkit/nn/models/factor_gcn.py": "inputs of layers, and one output more",
    "graphkit/nn/skeletons/frame_branches.py": "the last branch has no convolution",
    "graphkit/vision/reid/sskd.py": "views that no peer looks at",
}
"""Files in which a zip cuts its longer partner off, and what goes."""


def loose_zips(root: Path, package: str = "graphkit") -> list[str]:
    """Zips that do not say that their partners are of one length, or why they are not."""
    return [
        f"{file.at(node)}: {ast.unparse(node)}"
        for file in sources(root, package)
        if not file.name.startswith(f"{package}/testing")
        for node in file.nodes
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "zip"
        if not strict_of(node) and not (file.name in CUT and strict_of(node) is False)
    ]


def strict_of(call: ast.Call) -> bool | None:
    """What a zip says of its partners."""
    said = [word.value for word in call.keywords if word.arg == "strict"]
    return bool(ast.literal_eval(said[0])) if said else None


def bases_left_out(root: Path, package: str = "graphkit") -> list[str]:
    """Initialisers of classes with bases that leave those of the bases out."""
    return [
        f"{file.at(function)}: {name}"
        for file in sources(root, package)
        for name, function in initialisers(file)
        if not any("__init__" in ast.unparse(node.func) for node in calls_in(function))
    ]


def initialisers(file: Source) -> Iterator[tuple[str, ast.FunctionDef]]:
    """The initialiser of each class that has a base whose own may do something."""
    for node in file.nodes:
        if isinstance(node, ast.ClassDef) and any(map(prepares, node.bases)):
            for each in node.body:
                if isinstance(each, ast.FunctionDef) and each.name == "__init__":
                    yield node.name, each


def prepares(base: ast.expr) -> bool:
    """Whether a base may have an initialiser with something to do."""
    name = ast.unparse(base).partition("[")[0].rpartition(".")[2]
    return name not in IDLE


IDLE = {
    *("Generic", "Protocol", "ABC", "Mapping", "Sequence", "Iterator", "Callback", "Task"),
    *("BaseTransform", "BaseSampler", "ShardedTask", "NodeTask", "Dataset", "Rule"),
}
"""Bases without anything to prepare."""


def calls_in(node: ast.AST) -> list[ast.Call]:
    """All calls inside a node."""
    return [each for each in ast.walk(node) if isinstance(each, ast.Call)]
