"""Soft targets against torch's divergences."""

import pytest
import torch
import torch.nn.functional as F

from graphkit.distill import SoftTargetLoss
from tests.distill.suites import LossSuite


class TestContract(LossSuite):
    def loss(self):
        return SoftTargetLoss()


@pytest.fixture
def pair():
    return torch.randn(2, 7, 5, dtype=torch.double).unbind()


def test_single_label_against_torch(pair):
    student, teacher = pair
    wanted = 9 * F.kl_div(
        F.log_softmax(student / 3, -1), F.softmax(teacher / 3, -1), reduction="batchmean"
    )
    torch.testing.assert_close(SoftTargetLoss(3.0)(student, teacher), wanted)


def test_multi_label_is_cross_entropy_less_entropy(pair):
    student, teacher = pair
    target = (teacher / 2).sigmoid()
    gap = [F.binary_cross_entropy_with_logits(x / 2, target, reduction="sum") for x in pair]
    wanted = 4 * (gap[0] - gap[1]) / 7
    torch.testing.assert_close(SoftTargetLoss(2.0, multilabel=True)(student, teacher), wanted)


@pytest.mark.parametrize("multilabel", [False, True])
def test_nothing_at_equality_and_finite_at_large_logits(pair, multilabel):
    loss = SoftTargetLoss(multilabel=multilabel)
    assert loss(pair[0], pair[0].clone()).abs() < 1e-12
    large = (1000 * pair[0]).requires_grad_()
    loss(large, 1000 * pair[1]).backward()
    assert large.grad.isfinite().all()


def test_high_temperature_matches_centred_logits(pair):
    """Hinton et al., section 2.1: at high temperature it is half the squared difference."""
    student, teacher = (x - x.mean(-1, keepdim=True) for x in pair)
    wanted = (student - teacher).square().sum() / (2 * 5 * 7)
    torch.testing.assert_close(SoftTargetLoss(1e4)(student, teacher), wanted, rtol=1e-3, atol=0)


def test_temperature_must_be_positive():
    with pytest.raises(ValueError, match=r"'temperature'.*0"):
        SoftTargetLoss(0)
