"""Plain networks for whole graphs, rivals of FactorGCN on its synthetic graphs."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GCNConv, GINConv, global_mean_pool
from torch_geometric.utils import add_self_loops, remove_self_loops

from graphkit.nn import DisenConv


class Lonely(nn.Module):
    """A layer that sees no edges."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.lin = nn.Linear(in_channels, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.lin(x)


def layer(conv: str, in_channels: int, out_channels: int, heads: int) -> nn.Module:
    """One layer of the kind called :obj:`conv`."""
    if conv == "mlp":
        return Lonely(in_channels, out_channels)
    if conv == "gcn":
        return GCNConv(in_channels, out_channels, add_self_loops=False)
    if conv == "gat":
        width = out_channels // heads
        return GATConv(in_channels, width, heads, add_self_loops=False)
    if conv == "gin":
        wide = nn.Linear(in_channels, out_channels)
        return GINConv(nn.Sequential(wide, nn.ReLU(), nn.Linear(out_channels, out_channels)))
    if conv == "disen":
        return DisenConv(in_channels, out_channels, heads)
    raise ValueError(f"'conv' must be 'mlp', 'gcn', 'gat', 'gin' or 'disen', got {conv!r}")


class PooledGNN(nn.Module):
    """Layers of one kind with self loops, then FactorGCN's read-out of the synthetic graphs."""

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        conv: str = "gcn",
        num_layers: int = 2,
        heads: int = 4,
    ) -> None:
        super().__init__()
        widths = [in_channels] + [hidden_channels] * num_layers
        self.convs = nn.ModuleList(layer(conv, w, hidden_channels, heads) for w in widths[:-1])
        self.loops = conv in ("gcn", "gat")
        self.read = nn.Linear(hidden_channels, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        if self.loops:
            edge_index = add_self_loops(remove_self_loops(edge_index)[0], num_nodes=x.size(0))[0]
        for conv in self.convs:
            x = F.leaky_relu(conv(x, edge_index), 0.2)
        return self.read(global_mean_pool(x, batch, int(batch[-1]) + 1).tanh())
