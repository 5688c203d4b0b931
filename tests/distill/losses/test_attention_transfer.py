"""Attention transfer, graph by graph in numpy."""

import numpy as np
import pytest
import torch

from graphkit.distill import AttentionTransferLoss
from tests.distill.suites import LossSuite


class TestContract(LossSuite):
    def loss(self):
        return AttentionTransferLoss()


BATCH = torch.tensor([0, 0, 0, 1, 1, 1, 1])


@pytest.fixture
def pair():
    return torch.randn(7, 3, dtype=torch.double), torch.randn(7, 5, dtype=torch.double)


def gaps(pair, batch, power):
    for graph in batch.unique():
        maps = [(np.abs(x.numpy()[batch == graph]) ** power).sum(-1) for x in pair]
        yield np.subtract(*(q / np.linalg.norm(q) for q in maps))


@pytest.mark.parametrize("power", [1.0, 2.0, 3.0])
def test_value_by_hand(pair, power):
    wanted = np.mean([np.linalg.norm(gap) for gap in gaps(pair, BATCH, power)])
    found = AttentionTransferLoss(power)(*pair, BATCH)
    assert found.item() == pytest.approx(wanted)
    wanted = np.mean(np.concatenate(list(gaps(pair, BATCH, power))) ** 2)
    found = AttentionTransferLoss(power, "released")(*pair, BATCH)
    assert found.item() == pytest.approx(wanted)


def test_lsp_variant_by_hand(pair):
    means = [np.abs(x.numpy()).mean(-1) for x in pair]
    wanted = np.mean((means[0] - means[1]) ** 2)
    assert AttentionTransferLoss(1.0, "lsp")(*pair).item() == pytest.approx(wanted)


def test_scale_does_not_matter(pair):
    loss = AttentionTransferLoss()
    torch.testing.assert_close(loss(9 * pair[0], pair[1]), loss(*pair))


def test_no_batch_is_one_graph(pair):
    loss = AttentionTransferLoss()
    assert loss(*pair) == loss(*pair, torch.zeros(7, dtype=torch.long))


def test_equal_maps_have_a_finite_gradient(pair):
    student = pair[0].requires_grad_()
    loss = AttentionTransferLoss()(student, student.detach().clone(), BATCH)
    loss.backward()
    assert loss < 1e-7
    assert student.grad.isfinite().all()


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match=r"'variant'.*'mean'"):
        AttentionTransferLoss(variant="mean")
    with pytest.raises(ValueError, match=r"'power'.*0"):
        AttentionTransferLoss(0)
