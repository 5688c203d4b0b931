"""A student that inherits from its teacher and explores: what it learns by, and its maps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.distill import Distiller, InheritanceExploration, SoftTargetLoss
from graphkit.modes import evaluating
from graphkit.taps import tap

__all__ = ["attach", "classify", "inner"]


def classify(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The loss of the labels."""
    return F.cross_entropy(model(x), y)


def attach(
    arm: str,
    student: nn.Module,
    teacher: nn.Module,
    terms: InheritanceExploration,
    layer: str,
    weight: float,
) -> Distiller:
    """The student and what it learns from beside the labels."""
    if arm == "kd":
        return Distiller(student, teacher, [("", "")], SoftTargetLoss(4.0))
    terms.inheritance = weight if arm in ("inherit", "ie") else 0.0
    terms.exploration = weight if arm == "ie" else 0.0
    return Distiller(student, teacher, [(layer, layer)], terms, 1.0)


@torch.no_grad()
def inner(model: nn.Module, layer: str, x: Tensor) -> Tensor:
    """The last maps of some images."""
    with evaluating(model), tap(model, layer) as record:
        found = []
        for part in x.split(500):
            model(part)
            found.append(record[layer].output)
    return torch.cat(found)
