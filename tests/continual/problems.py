"""Small streams and models that the continual tests share."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE

from graphkit.continual.replay import GraphReplay

BACKBONES = {"GCN": GCN, "GAT": GAT, "GIN": GIN, "GraphSAGE": GraphSAGE}


def graph(num_nodes: int = 12, seed: int = 3) -> Data:
    """A random graph with four classes, the first two in its first half."""
    generator = torch.Generator().manual_seed(seed)
    edges = torch.rand(num_nodes, num_nodes, generator=generator) < 0.3
    x = torch.randn(num_nodes, 5, generator=generator, dtype=torch.float64)
    half = torch.arange(num_nodes) >= num_nodes // 2
    y = torch.arange(num_nodes) % 2 + 2 * half
    return Data(x=x, edge_index=edges.nonzero().t().contiguous(), y=y)


def backbone(name: str = "GAT", seed: int = 0, **kwargs: object) -> nn.Module:
    """An untouched PyG model in double precision."""
    torch.manual_seed(seed)
    return BACKBONES[name](5, 6, num_layers=2, out_channels=4, **kwargs).double()


def losses_of_task(data: Data, task: int) -> Callable[[nn.Module], Tensor]:
    """One loss per node of a task, over the task's two columns."""
    rows = (data.y // 2 == task).nonzero().view(-1)

    def losses(model: nn.Module) -> Tensor:
        out = model(data.x, data.edge_index)[rows, 2 * task : 2 * task + 2]
        return F.cross_entropy(out, data.y[rows] - 2 * task, reduction="none")

    return losses


def output_of_task(data: Data, task: int) -> Callable[[nn.Module], Tensor]:
    """All columns for the nodes of a task."""
    rows = (data.y // 2 == task).nonzero().view(-1)
    return lambda model: model(data.x, data.edge_index)[rows]


def wander(model: nn.Module, scale: float = 0.1, seed: int = 5) -> None:
    """Moves every parameter a little."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            step = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter += scale * step.to(parameter)


def see(strategy: object, data: Data, task: int, columns: Tensor | None = None) -> None:
    """Shows a task to a strategy that keeps graphs; the others are shown losses only."""
    if isinstance(strategy, GraphReplay):
        rows = (data.y // 2 == task).nonzero().view(-1)
        columns = torch.arange(2 * task, 2 * task + 2) if columns is None else columns
        strategy.see_task(data.x, data.edge_index, rows, data.y[rows], columns)
