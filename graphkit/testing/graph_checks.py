"""What holds of every graph of an adapter, ordinary or degenerate, as assertions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data, HeteroData
from torch_geometric.nn import GraphConv, SAGEConv
from torch_geometric.utils import is_undirected

from graphkit.testing.stores import edge_stores, named_tensors, node_stores


def check_valid(graph: Data | HeteroData) -> None:
    """A valid ``Data`` or ``HeteroData`` with an explicit ``num_nodes``."""
    assert isinstance(graph, Data | HeteroData), f"the adapter gave a {type(graph).__name__}"
    graph.validate(raise_on_error=True)
    for key, store in node_stores(graph).items():
        assert "num_nodes" in store, f"{key}num_nodes is not set"


def check_nodes(graph: Data | HeteroData) -> None:
    """``x`` is float32, finite, and has a row per node."""
    for key, store in node_stores(graph).items():
        assert "x" in store, f"{key}no x"
        assert store.x.dtype == torch.float32, f"{key}x is {store.x.dtype}"
        assert store.x.size(0) == store.num_nodes, f"{key}x has {store.x.size(0)} rows"
        assert store.x.isfinite().all(), f"{key}x is not finite"


def check_edges(graph: Data | HeteroData) -> None:
    """``edge_index`` is int64 and coalesced, and edge attributes have a finite row per edge."""
    for key, store in edge_stores(graph).items():
        edges = store.edge_index
        assert edges.dtype == torch.int64, f"{key}edge_index is {edges.dtype}"
        assert store.is_coalesced(), f"{key}edge_index is not sorted or has duplicates"
        for name in ("edge_attr", "edge_weight"):
            if name in store:
                rows = store[name].size(0)
                assert rows == edges.size(1), f"{key}{name} has {rows} rows"
                assert store[name].dtype == torch.float32, f"{key}{name} is {store[name].dtype}"
                assert store[name].isfinite().all(), f"{key}{name} is not finite"


def check_undirected(graph: Data | HeteroData, schema: Any) -> None:
    """Each edge has its reverse exactly where the schema says so; without edges, always."""
    for key, store in edge_stores(graph).items():
        said = schema.undirected
        said = said if isinstance(said, bool) else said[key.removesuffix(".")]
        if store.edge_index.numel():
            square = not store.is_bipartite()
            undirected = square and is_undirected(store.edge_index, num_nodes=store.size(0))
            assert undirected == said, (
                f"{key}the schema says undirected={said}, the graph is {undirected}"
            )


def check_schema(graph: Data | HeteroData, schema: Any) -> None:
    """The schema names every attribute, no other, with its shape, and speaks of all of it."""
    check_words("node", schema.node, node_stores(graph))
    check_words("edge", schema.edge, edge_stores(graph))
    tensors = dict(named_tensors(graph))
    assert set(tensors) == set(schema.attributes), (
        f"in the graph: {sorted(tensors)}; in the schema: {sorted(schema.attributes)}"
    )
    if any(name.split(".")[-1] == "y" for name in tensors):
        assert schema.y.strip(), "the schema does not say what y is"
    sizes: dict[str, int] = {}
    for name, entry in tensors.items():
        sizes[f"{entry.scope}N"] = entry.num_nodes or 0
        sizes[f"{entry.scope}E"] = entry.num_edges or 0
        shape = [
            sizes.setdefault(f"{entry.scope}{size}" if size in ("N", "E") else str(size), length)
            if isinstance(size, str)
            else size
            for size, length in zip(schema.attributes[name], entry.value.shape, strict=False)
        ]
        assert list(entry.value.shape) == shape, (
            f"{name} has shape {tuple(entry.value.shape)}, not {schema.attributes[name]}"
        )


def check_words(what: str, words: Any, stores: dict[str, Any]) -> None:
    """A schema describes nodes or edges in one sentence, or in one for each type."""
    by_type = {"": words} if isinstance(words, str) else dict(words)
    for kind, text in by_type.items():
        assert str(text).strip(), f"the schema does not say what a {kind} {what} is"
    if not isinstance(words, str):
        kinds = {key.removesuffix(".") for key in stores}
        assert set(words) == kinds, f"the schema speaks of {what}s {set(words)}, there are {kinds}"


def check_dtypes(graph: Data | HeteroData, other: Data | HeteroData) -> None:
    """Two graphs of one adapter agree in attributes and their types, so that they can be mixed."""
    first, second = dict(named_tensors(graph)), dict(named_tensors(other))
    assert set(first) == set(second), f"one graph has {sorted(first)}, another {sorted(second)}"
    for name, entry in first.items():
        actual, expected = second[name].value.dtype, entry.value.dtype
        assert actual == expected, f"{name} is {expected} in one graph and {actual} in another"


class Reader(nn.Module):
    """PyG layers that read any graph: one per edge type, whatever its widths."""

    def __init__(self, graph: Data | HeteroData, channels: int = 4) -> None:
        super().__init__()
        self.kinds = [] if isinstance(graph, Data) else graph.edge_types
        if isinstance(graph, Data):
            self.layers = nn.ModuleList([GraphConv(graph.x.size(1), channels)])
        else:
            widths = {kind: graph[kind].x.size(1) for kind in graph.node_types}
            self.layers = nn.ModuleList(
                SAGEConv((widths[source], widths[target]), channels)
                for source, _, target in graph.edge_types
            )

    def forward(self, graph: Data | HeteroData) -> Tensor:
        """Node embeddings, those of one edge type's targets below those of the other."""
        if isinstance(graph, Data):
            return self.layers[0](graph.x.detach(), graph.edge_index)
        out = []
        for layer, (source, relation, target) in zip(self.layers, self.kinds, strict=True):
            x = (graph[source].x.detach(), graph[target].x.detach())
            out.append(layer(x, graph[source, relation, target].edge_index))
        return torch.cat(out)


def train_layers(graph: Data | HeteroData, steps: int = 8) -> list[float]:
    """The losses of PyG layers on fixed random targets, step by step; gradients are checked."""
    reader = Reader(graph)
    optimizer = torch.optim.Adam(reader.parameters(), lr=1e-3)
    target, losses = torch.randn_like(reader(graph)), []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (reader(graph) - target).square().mean()
        loss.backward()
        for name, parameter in reader.named_parameters():
            assert parameter.grad is not None, f"no gradient on {name}"
            assert parameter.grad.isfinite().all(), f"gradient of {name} is not finite"
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses
