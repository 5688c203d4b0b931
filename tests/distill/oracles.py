"""Direct forms with a tensor of edges times channels, written from the formulas."""

from __future__ import annotations

import torch
from torch import Tensor


def random_graph(num_nodes: int, num_edges: int, seed: int = 0) -> Tensor:
    """Distinct random edges, self loops among them."""
    generator = torch.Generator().manual_seed(seed)
    keys = torch.randperm(num_nodes * num_nodes, generator=generator)[:num_edges]
    return torch.stack([keys // num_nodes, keys % num_nodes])


def score(x: Tensor, edge_index: Tensor, kernel: str, bandwidth: float) -> Tensor:
    """Similarity of both ends of every edge."""
    source, target = x[edge_index[0]], x[edge_index[1]]
    if kernel == "linear":
        return (source * target).sum(-1)
    if kernel == "polynomial":
        return (source * target).sum(-1) ** 2
    if kernel == "laplacian":
        return torch.exp(-(source - target).abs().sum(-1) / bandwidth)
    square = (source - target).square().sum(-1)
    return square if kernel == "euclidean" else torch.exp(-square / (2 * bandwidth**2))


def median_bandwidth(x: Tensor, edge_index: Tensor, kernel: str) -> float:
    """The median length of edges that are no self loops."""
    gap = (x[edge_index[0]] - x[edge_index[1]]).detach()[edge_index[0] != edge_index[1]]
    lengths = gap.abs().sum(-1) if kernel == "laplacian" else gap.norm(dim=-1)
    return float(lengths.sort().values[(lengths.numel() - 1) // 2])


def dense_softmax(values: Tensor, edge_index: Tensor, num_nodes: int) -> Tensor:
    """Softmax over the edges of a target through a full matrix, one row per target."""
    table = values.new_full((num_nodes, num_nodes), -torch.inf)
    table = table.index_put((edge_index[1], edge_index[0]), values)
    return table.softmax(-1)[edge_index[1], edge_index[0]]


def lsp(p: Tensor, q: Tensor, edge_index: Tensor, num_nodes: int) -> Tensor:
    """Mean over nodes of the divergence of two structures."""
    return (p * (p.log() - q.log())).sum() / num_nodes
