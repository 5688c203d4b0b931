"""Every distillation loss as it comes, without options, beside labels alone.

All students of a seed start from the same weights and learn from the same teacher, each loss at the
weight that :class:`~graphkit.distill.Distiller` gives it. ``gain_X`` is the accuracy of the student
with loss X over that of the student with labels alone; ``worst_gain`` is the smallest of them:
below zero a default harms. ``ahead`` is what the teacher is ahead of the student by.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.nodes import load
from graphkit.distill import (
    AttentionTransferLoss,
    Distillation,
    DistillationLoss,
    Distiller,
    FitNetLoss,
    GlobalStructureLoss,
    GraphContrastiveLoss,
    InheritanceExploration,
    LocalStructureLoss,
    MMDLoss,
    SoftTargetLoss,
)
from graphkit.modes import evaluating
from graphkit.taps import tap
from graphkit.train import NodeTask, seed_everything

__all__ = ["MAIN", "TRIED", "load", "run"]

MAIN = "worst_gain"
LAYER = "convs.0"
"""Whose features are compared, but for soft targets."""
TRIED: tuple[type[DistillationLoss], ...] = (
    AttentionTransferLoss,
    FitNetLoss,
    GlobalStructureLoss,
    GraphContrastiveLoss,
    InheritanceExploration,
    LocalStructureLoss,
    MMDLoss,
    SoftTargetLoss,
)


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    hidden: int = 16,
    teacher_hidden: int = 64,
    dropout: float = 0.5,
) -> dict[str, float]:
    """One seed of the split, the weights and the draws, which all students share."""
    data = load(**{**dataset, "seed": seed})
    seed_everything(seed)
    teacher, start = (
        GCN(data.num_features, width, 2, int(data.y.max()) + 1, dropout=dropout, cached=True)
        for width in (teacher_hidden, hidden)
    )
    best = fit(teacher, NodeTask(data), tag="teacher").metrics["test_accuracy"]
    alone = fit(copy.deepcopy(start), NodeTask(data), tag="labels").metrics["test_accuracy"]
    gains = {}
    for kind in TRIED:
        seed_everything(seed)
        loss = made(kind, hidden, teacher, data)
        pair = ("", "") if kind is SoftTargetLoss else (LAYER, LAYER)
        model = Distiller(copy.deepcopy(start), teacher, [pair], loss)
        seed_everything(seed)
        result = fit(model, NodeTask(data), [Distillation(model)], tag=kind.__name__)
        gains[f"gain_{kind.__name__}"] = result.metrics["test_accuracy"] - alone
    return {"worst_gain": min(gains.values()), "baseline": alone, "ahead": best - alone, **gains}


def made(
    kind: type[DistillationLoss], hidden: int, teacher: nn.Module, data: Data
) -> DistillationLoss:
    """A loss of that kind with nothing but the widths of the features that it compares."""
    with torch.no_grad(), evaluating(teacher), tap(teacher, LAYER) as record:
        teacher(data.x, data.edge_index)
    theirs = record[LAYER].output
    if kind is InheritanceExploration:
        loss = InheritanceExploration(hidden, theirs.size(1), spatial=False)
        loss.learn_factors(theirs)
        return loss
    if kind in (FitNetLoss, GraphContrastiveLoss):
        return kind(hidden, theirs.size(1))
    return kind()
