"""One network for whole graphs whose layers are exchanged and nothing else."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GCNConv, GINConv, SAGEConv, global_add_pool

from benchmarks.rivals.graphs import Lonely

__all__ = ["CONVS", "SummedGNN"]


def gin(in_channels: int, out_channels: int) -> GINConv:
    """GIN's sum over neighbours, then two linear layers."""
    wide = nn.Linear(in_channels, out_channels)
    return GINConv(nn.Sequential(wide, nn.ReLU(), nn.Linear(out_channels, out_channels)))


def gat(in_channels: int, out_channels: int) -> GATConv:
    """Attention with four heads that share the width."""
    return GATConv(in_channels, out_channels // 4, heads=4)


CONVS = {"features": Lonely, "gin": gin, "gcn": GCNConv, "graphsage": SAGEConv, "gat": gat}
"""Layers by the name of what they make; ``features`` sees no edges."""


class SummedGNN(nn.Module):
    """Layers of one kind with batch normalisation, the sum over nodes, two linear layers.

    With ``conv="features"`` a graph is the set of its nodes: the structure-agnostic baseline of
    arXiv:1912.09893.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        conv: str,
        num_layers: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        widths = [in_channels] + [hidden_channels] * num_layers
        self.convs = nn.ModuleList(CONVS[conv](w, hidden_channels) for w in widths[:-1])
        self.norms = nn.ModuleList(nn.BatchNorm1d(hidden_channels) for _ in self.convs)
        self.lin1 = nn.Linear(hidden_channels, hidden_channels)
        self.lin2 = nn.Linear(hidden_channels, out_channels)
        self.dropout = dropout

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = norm(conv(x, edge_index)).relu()
        x = self.lin1(global_add_pool(x, batch, int(batch[-1]) + 1)).relu()
        return self.lin2(F.dropout(x, self.dropout, self.training))
