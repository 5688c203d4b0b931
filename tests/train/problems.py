"""Small problems that the training tests share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import global_add_pool
from torch_geometric.utils import scatter


class LinearGCN(nn.Module):
    """One linear layer after one step of mean aggregation; with ``batch`` it pools."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 3)
        self.dropout = dropout

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor | None = None) -> Tensor:
        x = nn.functional.dropout(x, self.dropout, self.training)
        near = scatter(x[edge_index[0]], edge_index[1], dim_size=x.size(0), reduce="mean")
        out = self.lin(x + near)
        return out if batch is None else global_add_pool(out, batch, int(batch.max()) + 1)


def ring(num_nodes: int = 30) -> Data:
    """A ring with three classes, features that tell them, and a split."""
    generator = torch.Generator().manual_seed(5)
    y = torch.arange(num_nodes) % 3
    x = torch.randn(num_nodes, 4, generator=generator)
    x[torch.arange(num_nodes), y] += 1.0
    nodes = torch.arange(num_nodes)
    edge_index = torch.stack([nodes, (nodes + 3) % num_nodes])
    data = Data(x=x, edge_index=edge_index, y=y)
    for k, name in enumerate(("train_mask", "val_mask", "test_mask")):
        data[name] = (nodes // 3) % 3 == k
    return data


def graphs(count: int) -> list[Data]:
    """Small rings with a mark that tells them apart."""
    found = []
    for i in range(count):
        data = ring(6 + 3 * (i % 3))
        found.append(
            Data(
                x=data.x + 0.1 * i,
                edge_index=data.edge_index,
                y=torch.tensor([i % 3]),
                mark=torch.tensor([i]),
            )
        )
    return found
