"""What holds for every set of graphs: edges join nodes of their graph, labels are classes."""

# fingerprint: not counted

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphkit.guard import DamagedDataError

__all__ = ["check_ranges", "wrong_graph"]

PER_EDGE = ("edge_attr", "edge_weight")


def check_ranges(name: str, folder: Path | None, dataset: Any, classes: int | None) -> None:
    r"""Looks at every graph of a set, once, when its processed files are made.

    Args:
        name (str): Name of the data set.
        folder (Path, optional): Folder of the raw files, if there are any.
        dataset (Dataset): The graphs.
        classes (int, optional): How many classes there are, where that is published.

    Raises:
        DamagedDataError: If an edge joins no nodes of its graph, or a label is no class; the
            message names the graph.
    """
    for number in range(len(dataset)):
        wrong = wrong_graph(dataset[number], classes)
        if wrong:
            place = f" in '{folder}'" if folder else ""
            raise DamagedDataError(f"{name!r}{place}: graph {number} has {wrong}")


def wrong_graph(graph: Any, classes: int | None) -> str:
    """What is out of range in a graph; an empty text if nothing is."""
    for store in getattr(graph, "edge_stores", ()):
        edges = store.get("edge_index")
        if isinstance(edges, Tensor):
            if edges.dim() != 2 or edges.size(0) != 2 or edges.dtype != torch.long:
                return f"'edge_index' of {edges.dtype} {list(edges.shape)}, not int64 [2, E]"
            wrong = wrong_edges(edges, *store.size()) if edges.numel() else ""
            for key in PER_EDGE:
                value = store.get(key)
                if isinstance(value, Tensor) and value.size(0) != edges.size(1):
                    wrong = wrong or f"'{key}' of {list(value.shape)} for {edges.size(1)} edges"
            if wrong:
                return wrong
    for store in getattr(graph, "node_stores", ()):
        labels = store.get("y")
        if isinstance(labels, Tensor) and labels.numel():
            wrong = wrong_labels(labels, classes)
            if wrong:
                return wrong
    return ""


def wrong_edges(edges: Tensor, sources: int | None, targets: int | None) -> str:
    """Edges that end at no node."""
    for end, nodes in zip(edges, (sources, targets), strict=True):
        low, high = int(end.min()), int(end.max())
        if nodes is not None and (low < 0 or high >= nodes):
            return f"edges of the nodes {low} to {high}, but {nodes} nodes"
    return ""


def wrong_labels(labels: Tensor, classes: int | None) -> str:
    """Labels that are no class; NaN is a label that is not known."""
    if labels.is_complex():
        return "labels that are complex numbers"
    known = labels[~labels.isnan()] if labels.is_floating_point() else labels
    if not known.numel():
        return ""
    low, high = known.min().item(), known.max().item()
    if labels.is_floating_point() and not known.isfinite().all():
        return f"labels from {low} to {high}"
    if classes is None:
        return f"the label {low}" if low < 0 and not labels.is_floating_point() else ""
    # A row of several labels says of each class whether it applies.
    several = labels.dim() > 1 and labels.size(-1) == classes > 1
    last = 1 if several else classes - 1
    if low < 0 or high > last or not (known == known.round()).all():
        return f"labels from {low} to {high}, expected whole numbers from 0 to {last}"
    return ""
