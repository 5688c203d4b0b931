"""FactorGCN's synthetic experiment: which templates does a graph hold, and where are they?

70 / 10 / 20 % of the graphs train, choose the epoch and test, in the order of generation.
Beside the micro-F1 of the labels stand GED_E and the C-Score of the first layer's factor
graphs, with edges ranked by gate and by the score before the sigmoid, with what random gates
reach on the same graphs (paired t-test), and how the gates are used.  ``untrained`` figures
are those of the same network before its first step: gates that are functions of both ends of
an edge beat independent random ones without having learned anything.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.nn import GATConv

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.factors import FactorTask
from benchmarks.rivals.nodes import build
from graphkit import taps
from graphkit.datasets import SyntheticFactorGraphs
from graphkit.metrics import factor_ged, micro_f1
from graphkit.modes import evaluating
from graphkit.nn import DisenConv, FactorGCN
from graphkit.train import GraphTask, seed_everything

MAIN = "test_f1"


def load(
    name: str = "SyntheticFactorGraphs",
    num_factors: int = 4,
    num_graphs: int = 20_000,
    seed: int = 0,
) -> SyntheticFactorGraphs:
    """The graphs; ``seed`` is that of their generator, the same in all runs."""
    if name != "SyntheticFactorGraphs":
        raise ValueError(f"this protocol runs on 'SyntheticFactorGraphs', got {name!r}")
    return SyntheticFactorGraphs(num_factors, num_graphs, seed)


def run(
    dataset: dict[str, Any],
    model: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    batch_size: int = 1000,
    penalty: float = 1.0,
) -> dict[str, float]:
    """One seed; ``penalty`` weighs the objective of models that have one."""
    graphs = load(**dataset)
    parts = [list(part) for part in graphs.splits()]
    seed_everything(seed)
    network = build(model, graphs.num_features, graphs.num_classes)
    rest: list[Any] = [*parts, batch_size, F.binary_cross_entropy_with_logits, micro_f1, "f1"]
    test = Batch.from_data_list(parts[2])
    before = judge(network, test)
    factored = isinstance(network, FactorGCN)
    task = FactorTask(penalty, *rest) if factored else GraphTask(*rest)
    result = fit(network, task)
    metrics = {"test_f1": result.metrics["test_f1"], "val_f1": result.metrics["val_f1"]}
    untrained = {
        name.replace("_by_", "_untrained_by_"): value
        for name, value in before.items()
        if name.startswith(("ged_by_", "c_by_"))
    }
    return metrics | untrained | judge(network, test)


@torch.no_grad()
def judge(network: nn.Module, batch: Any) -> dict[str, float]:
    """How the first layer's factor graphs compare with the truth and with chance."""
    with evaluating(network):
        rankings = first_layer(network.cpu(), batch)
    metrics: dict[str, float] = {}
    for name, score in rankings.items():
        distances = factor_ged(score, batch.edge_factor, batch.edge_index, batch.batch)
        test = distances.compare("random_gate")
        metrics |= {
            f"ged_by_{name}": distances.mean,
            f"c_by_{name}": distances.consistency,
            f"t_by_{name}": test["t"],
            f"p_by_{name}": test["p"],
        }
        for floor, value in distances.floors.items():
            metrics |= {f"ged_{floor}": value.mean, f"c_{floor}": value.consistency}
    return metrics | (usage(rankings["gate"]) if rankings else {})


def first_layer(network: nn.Module, batch: Any) -> dict[str, Tensor]:
    """What ranks the edges in the first layer, ``[E, K]``; nothing for layers without."""
    inputs = (batch.x, batch.edge_index, batch.batch)
    edges = batch.edge_index.size(1)
    if isinstance(network, FactorGCN):
        _, factors = network(*inputs, return_factors=True)
        return {"gate": factors.gates[0][:edges], "score": factors.scores[0][:edges]}
    if not isinstance(network.get_submodule("convs.0"), (GATConv, DisenConv)):
        return {}
    with taps.attention(network, "convs.0") as record:
        network(*inputs)
    return {"gate": record["convs.0"].layer_alpha[:edges]}


def usage(gate: Tensor) -> dict[str, float]:
    """The gates' histogram in tenths, their mean per factor, smallest first, and saturation."""
    shares = torch.histc(gate, 10, 0.0, 1.0) / gate.numel()
    means = gate.mean(0).sort().values
    return {
        **{f"gates_{i / 10:.1f}": float(share) for i, share in enumerate(shares)},
        **{f"factor_mean_{i}": float(mean) for i, mean in enumerate(means)},
        "saturated": float(((gate < 0.01) | (gate > 0.99)).float().mean()),
    }
