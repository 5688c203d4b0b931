"""Weights of distillation losses: the defaults leave the task its say, and too large ones warn."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch_geometric.nn import GCN
from torch_geometric.transforms import NormalizeFeatures

from benchmarks.protocols.default_losses import TRIED, made
from graphkit import distill
from graphkit.datasets import load
from graphkit.distill import DistillationLoss, Distiller, SoftTargetLoss
from graphkit.lopsided import LopsidedWarning


@pytest.fixture(scope="module")
def digits():
    return NormalizeFeatures()(load("digits")[0].subgraph(torch.arange(300)))


def three_steps(kind, digits, weights):
    """What is warned of in three steps of a student on the digits."""
    torch.manual_seed(0)
    teacher, student = (GCN(64, width, 2, 10) for width in (64, 16))
    loss = made(kind, 16, teacher, digits)
    pair = ("", "") if kind is SoftTargetLoss else ("convs.0", "convs.0")
    model = Distiller(student, teacher, [pair], loss, weights)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(3):
            optimizer.zero_grad()
            out = model(digits.x, digits.edge_index)
            task = F.cross_entropy(out[digits.train_mask], digits.y[digits.train_mask])
            (task + model.penalty()).backward()
            optimizer.step()
    return [str(w.message) for w in seen if issubclass(w.category, LopsidedWarning)]


@pytest.mark.parametrize("kind", TRIED, ids=lambda kind: kind.__name__)
def test_defaults_are_quiet_and_weights_that_drown_the_task_are_named(kind, digits):
    assert three_steps(kind, digits, None) == []
    messages = three_steps(kind, digits, 1e4)
    # Soft targets say what the labels say: they may outweigh them.
    assert len(messages) == (not kind.teaches_task)
    for message in messages:
        assert f"{kind.__name__} of" in message
        assert "at weight 10000 is" in message


def test_every_public_loss_is_in_the_table_of_defaults():
    public = {getattr(distill, name) for name in distill.__all__}
    losses = {c for c in public if isinstance(c, type) and issubclass(c, DistillationLoss)}
    assert losses - {DistillationLoss} == set(TRIED)
