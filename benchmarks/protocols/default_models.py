"""Every model and layer for nodes as it comes, without options, beside the plain one.

What stands in for a layer, for dropout or for all edges alike is compared with a GCN, in which it
is swapped in; FactorGCN with PyG's GCN of the same width; SPAGAN with the graph attention network
that gives it its paths. Splits and draws are the same for all. ``gain_X`` is the difference in
accuracy; ``worst_gain`` is the smallest of them: below zero a default harms.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN, GCNConv

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.nodes import load
from graphkit.nn import SPAGAN, ContinuousDropout, DisenConv, FactorConv, FactorGCN
from graphkit.train import NodeTask, PathRounds, seed_everything
from graphkit.transforms import ContinuousDropEdge

__all__ = ["MAIN", "TRIED", "load", "run"]

MAIN = "worst_gain"
FACTORS = 4
Layer = Callable[[int, int], nn.Module]


class TwoLayers(nn.Module):
    """A GCN in which the first layer, the dropout and the weights of edges can be others.

    Args:
        in_channels, hidden, out_channels (int): Widths.
        first (callable, optional): ``(in_channels, hidden) -> layer``.
        dropout (torch.nn.Module, optional): In place of PyTorch's.
        edges (callable, optional): A transform that is applied in every training step.
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        out_channels: int,
        first: Layer = GCNConv,
        dropout: nn.Module | None = None,
        edges: Callable[[Data], Data] | None = None,
    ) -> None:
        super().__init__()
        self.first, self.last = first(in_channels, hidden), GCNConv(hidden, out_channels)
        self.dropout = nn.Dropout() if dropout is None else dropout
        self.edges = edges

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Scores per node."""
        weight: dict[str, Any] = {}
        if self.training and self.edges is not None:
            data = self.edges(Data(edge_index=edge_index, num_nodes=x.size(0)))
            weight = {"edge_weight": data.edge_weight}
        hidden = self.dropout(self.first(x, edge_index, **weight).relu())
        return self.last(hidden, edge_index, **weight)


SWAPPED: dict[str, Callable[[], dict[str, Any]]] = {
    "ContinuousDropEdge": lambda: {"edges": ContinuousDropEdge()},
    "ContinuousDropout": lambda: {"dropout": ContinuousDropout()},
    "DisenConv": lambda: {"first": lambda width, hidden: DisenConv(width, hidden, FACTORS)},
    "FactorConv": lambda: {"first": lambda width, hidden: FactorConv(width, hidden, FACTORS)},
}
TRIED = (*SWAPPED, "FactorGCN", "SPAGAN")


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    hidden: int = 32,
    heads: int = 8,
) -> dict[str, float]:
    """One seed of the split, the weights and the draws."""
    data = load(**{**dataset, "seed": seed})
    widths = (data.num_features, hidden, int(data.y.max()) + 1)

    def accuracy(tag: str, make: Callable[[], nn.Module]) -> float:
        seed_everything(seed)
        network = make()
        with torch.no_grad():
            network(data.x, data.edge_index)
        seed_everything(seed)
        return fit(network, NodeTask(data), tag=tag).metrics["test_accuracy"]

    plain = accuracy("plain", lambda: TwoLayers(*widths))
    gains = {}
    for name, options in SWAPPED.items():
        swapped = accuracy(name, partial(TwoLayers, *widths, **options()))
        gains[f"gain_{name}"] = swapped - plain
    gcn = accuracy("gcn", lambda: GCN(widths[0], hidden, 2, widths[2]))
    factors = accuracy("FactorGCN", lambda: FactorGCN(*widths, head="node"))
    gains["gain_FactorGCN"] = factors - gcn
    seed_everything(seed)
    network = SPAGAN(widths[0], hidden // heads, widths[2], heads)
    result = fit(network, NodeTask(data), callbacks=[PathRounds(1)], tag="SPAGAN")
    stage = [epoch for epoch in result.history if epoch["stage"] == 0]
    gat = min(stage, key=lambda epoch: epoch["val_loss"])["test_accuracy"]
    gains["gain_SPAGAN"] = result.metrics["test_accuracy"] - gat
    return {"worst_gain": min(gains.values()), "baseline": plain, "gcn": gcn, "gat": gat, **gains}
