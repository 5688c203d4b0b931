"""One way to walk over the tensors of ``Data`` and ``HeteroData``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import Tensor
from torch_geometric.data import Data, HeteroData


class Entry(NamedTuple):
    """A tensor of a graph: where it belongs, and the sizes it may be measured by."""

    scope: str
    value: Tensor
    num_nodes: int | None
    num_edges: int | None


def node_stores(graph: Data | HeteroData) -> dict[str, Any]:
    """The storage of each node type by the beginning of its attributes' names.

    Example:
        >>> list(node_stores(Data())), list(node_stores(HeteroData(part={"num_nodes": 1})))
        ([''], ['part.'])
    """
    if isinstance(graph, Data):
        return {"": graph.node_stores[0]}
    return {f"{kind}.": graph[kind] for kind in graph.node_types}


def edge_stores(graph: Data | HeteroData) -> dict[str, Any]:
    """The storage of each edge type by the beginning of its attributes' names."""
    if isinstance(graph, Data):
        return {"": graph.edge_stores[0]}
    return {".".join(kind) + ".": graph[kind] for kind in graph.edge_types}


def named_tensors(graph: Data | HeteroData) -> Iterator[tuple[str, Entry]]:
    """Every tensor of a graph by its full name, such as ``x`` or ``part.on.image.edge_index``.

    Example:
        >>> import torch
        >>> [name for name, _ in named_tensors(Data(x=torch.ones(2, 1)))]
        ['x']
    """
    edges = edge_stores(graph)
    for scope, store in {**node_stores(graph), **edges}.items():
        num_edges = store.num_edges if scope in edges else None
        num_nodes = store.num_nodes if scope in node_stores(graph) else None
        for name, value in store.items():
            if isinstance(value, Tensor):
                yield scope + name, Entry(scope, value, num_nodes, num_edges)
