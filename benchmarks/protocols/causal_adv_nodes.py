"""A GCN whose nodes' features are attacked: natural training, Madry's, TRADES and CausalAdv.

The attack moves the features of all nodes at once, each by at most ``eps``, to mislead the nodes
that count: the training nodes in training, the test nodes at the end. Edges stay. All networks
begin with the same weights; the weights of the epoch with the best accuracy of attacked validation
nodes count (of untouched ones for ``natural``, which knows of no attack).

Of each arm: ``clean_…``, ``pgd_…`` and ``all_…`` accuracy of test nodes, as in ``causal_adv``;
``pgd_accuracy`` is that of ``causal``, ``over_natural``, ``over_madry`` and
``clean_over_natural`` are its differences.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from benchmarks.harness.fitting import Fitter
from benchmarks.problems import nodes
from graphkit.modes import frozen
from graphkit.train import TensorTask, seed_everything
from graphkit.vision import CausalAdv, attack_ensemble, pgd

MAIN = "pgd_accuracy"
ARMS = ("natural", "madry", "causal", "trades", "causal_t")


def load(name: str = "Cora", split: str = "public", seed: int = 0) -> Data:
    """The graph, its features as they come: words that are there or not."""
    return nodes.load(name, split, normalize_features=False, seed=seed)


class Features(nn.Module):
    """Features of nodes, by two layers of GCN.

    Args:
        in_channels, hidden_channels, channels (int): Widths.
        dropout (float): Between the layers.
    """

    def __init__(
        self, in_channels: int, hidden_channels: int, channels: int, dropout: float
    ) -> None:
        super().__init__()
        self.gcn = GCN(in_channels, hidden_channels, 2, channels, dropout=dropout)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Features of all nodes."""
        return self.gcn(x, edge_index)


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    hidden_channels: int = 32,
    channels: int = 16,
    dropout: float = 0.5,
    alpha: float = 0.1,
    eps: float = 0.01,
    steps: int = 7,
    test_steps: int = 20,
    ramp: float = 1.0,
    arms: tuple[str, ...] = ARMS,
) -> dict[str, float]:
    """One seed; a step of the attack is a quarter of ``eps``."""
    data = load(**{**dataset, "seed": seed})
    seed_everything(seed)
    classes = int(data.y.max()) + 1
    features = Features(data.num_features, hidden_channels, channels, dropout)
    attack: dict[str, Any] = {"eps": eps, "step": eps / 4, "steps": steps}
    start = CausalAdv(features, channels, classes, ramp=round(ramp * fit.settings.epochs), **attack)
    train, val = (data[f"{part}_mask"].nonzero().squeeze(1) for part in ("train", "val"))
    metrics: dict[str, float] = {}
    for arm in arms:
        model = copy.deepcopy(start)
        model.variant = "T" if arm in ("trades", "causal_t") else "M"
        model.alpha = alpha if arm.startswith("causal") else 0.0

        def natural(model: nn.Module, rows: Tensor, y: Tensor) -> Tensor:
            return F.cross_entropy(model(data.x, data.edge_index)[rows], y)

        def robust(model: Any, rows: Tensor, y: Tensor) -> Tensor:
            return model.loss(data.x, data.edge_index, y=y, rows=rows)

        def judge(model: nn.Module, attacked: bool = arm != "natural") -> dict[str, float]:
            x = validation_attack(model, data, val, eps) if attacked else data.x
            guess = model(x, data.edge_index)[val].argmax(1)
            return {"val_accuracy": float((guess == data.y[val]).float().mean())}

        objective: Callable[..., Tensor] = natural if arm == "natural" else robust
        fit(model, TensorTask((train, data.y[train]), objective, len(train), judge), tag=arm)
        metrics |= judged(model, arm, data, eps, test_steps, seed)
    metrics["pgd_accuracy"] = metrics["pgd_causal"]
    for rival in ("natural", "madry"):
        if rival in arms:
            metrics[f"over_{rival}"] = metrics["pgd_causal"] - metrics[f"pgd_{rival}"]
    if "natural" in arms:
        metrics["clean_over_natural"] = metrics["clean_causal"] - metrics["clean_natural"]
    return metrics


def validation_attack(model: nn.Module, data: Data, rows: Tensor, eps: float) -> Tensor:
    """Features attacked from the features themselves, so that the judgement draws nothing."""
    with frozen(model):
        return pgd(
            lambda x: F.cross_entropy(model(x, data.edge_index)[rows], data.y[rows]),
            data.x,
            eps,
            eps / 4,
            3,
            noise=0.0,
        )


def judged(
    model: CausalAdv, arm: str, data: Data, eps: float, steps: int, seed: int
) -> dict[str, float]:
    """Accuracies of test nodes under attack."""
    model.eval()
    rows = data.test_mask.nonzero().squeeze(1)
    with frozen(model):
        right = attack_ensemble(
            lambda x: model(x, data.edge_index)[rows],
            data.x,
            data.y[rows],
            eps,
            eps / 4,
            steps,
            generator=torch.Generator().manual_seed(seed),
        )
    return {f"{name}_{arm}": float(right[name].float().mean()) for name in ("clean", "pgd", "all")}
