"""Contrastive distillation by loops over nodes."""

import math

import numpy as np
import pytest
import torch

from graphkit.distill import GraphContrastiveLoss
from tests.distill.suites import LossSuite


class TestContract(LossSuite):
    not_claimed = {
        **LossSuite.not_claimed,
        "zero_at_identity": "the projections are drawn at random",
    }

    def loss(self):
        return GraphContrastiveLoss(self.width, self.width)


def cosine(a, b):
    return float(np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b))


def test_value_by_hand():
    loss = GraphContrastiveLoss(3, 5, hidden_channels=4, temperature=0.2)
    student, teacher = torch.randn(6, 3), torch.randn(6, 5)
    with torch.no_grad():
        ours = loss.project_student(student).numpy()
        theirs = loss.project_teacher(teacher).numpy()
    wanted = 0.0
    for i in range(6):
        row = [math.exp(cosine(ours[i], theirs[j]) / 0.2) for j in range(6)]
        wanted -= math.log(row[i] / sum(row)) / 6
    assert loss(student, teacher).item() == pytest.approx(wanted, rel=1e-4)


def test_samples_bound_the_loss():
    loss = GraphContrastiveLoss(3, 3, temperature=1e6, max_samples=4)
    x = torch.randn(50, 3)
    assert loss(x, x).item() == pytest.approx(math.log(4), rel=1e-4)


def test_state_and_reset():
    loss, other = GraphContrastiveLoss(-1, -1, 8), GraphContrastiveLoss(3, 5, 8)
    student, teacher = torch.randn(6, 3), torch.randn(6, 5)
    value = loss(student, teacher)
    other.load_state_dict(loss.state_dict())
    assert other(student, teacher) == value
    other.reset_parameters()
    assert other(student, teacher) != value


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match=r"'temperature'.*0"):
        GraphContrastiveLoss(3, 3, temperature=0)
    with pytest.raises(ValueError, match=r"'max_samples'.*1"):
        GraphContrastiveLoss(3, 3, max_samples=1)
