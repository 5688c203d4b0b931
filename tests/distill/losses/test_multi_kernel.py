"""Multi-kernel discrepancy against scikit-learn's kernels."""

import copy

import pytest
import torch
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.preprocessing import normalize

from graphkit.distill.losses.multi_kernel import SIGMAS, MultiKernelMMDLoss, multi_kernel, unit_rows
from graphkit.testing import ObjectiveSuite


class TestMultiKernelMMDLoss(ObjectiveSuite):
    """Against the model as it was; wide kernels, whose slope a finite difference can see."""

    runs_training_step = True
    not_claimed = {"state": "the model to compare with is the caller's, no state of the loss"}

    def make(self, model):
        old = copy.deepcopy(model).requires_grad_(False)
        loss = MultiKernelMMDLoss([0.5, 1.0, 2.0])
        loss.old = (old,)
        return loss

    def value(self, objective, model, x, edge_index):
        return objective(model(x, edge_index), objective.old[0](x, edge_index))


def oracle(left, right):
    """Rows of numpy matrices, by scikit-learn."""

    def mean(a, b):
        return sum(rbf_kernel(a, b, gamma=1 / (2 * s**2)).mean() for s in SIGMAS)

    left, right = (normalize(x.flatten(1).double().numpy()) for x in (left, right))
    return mean(left, left) + mean(right, right) - 2 * mean(left, right)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_value_is_that_of_scikit_learn(dtype):
    loss = MultiKernelMMDLoss()
    left, right = torch.rand(9, 4, 2, 2, dtype=dtype), torch.rand(7, 4, 2, 2, dtype=dtype) ** 3
    assert loss(left, right).item() == pytest.approx(oracle(left, right), abs=1e-5)
    near = left + 3e-4 * torch.randn_like(left)
    assert loss(left, near).item() == pytest.approx(oracle(left, near), abs=1e-4)


def test_nothing_against_itself_symmetric_and_not_negative():
    loss, x, other = MultiKernelMMDLoss(), torch.rand(12, 6), torch.rand(12, 6)
    assert loss(x, x) < 1e-6
    assert loss(x, other) > 0.1
    torch.testing.assert_close(loss(x, other), loss(other, x))
    assert all(loss(x, x + 1e-8 * torch.randn(12, 6)) >= 0 for _ in range(20))


def test_order_and_length_of_samples_do_not_matter():
    loss, x, other = MultiKernelMMDLoss(), torch.rand(12, 6), torch.rand(8, 6)
    value = loss(x, other)
    torch.testing.assert_close(loss(x[torch.randperm(12)], other), value)
    torch.testing.assert_close(loss(x, other[torch.randperm(8)]), value)
    torch.testing.assert_close(loss(x * torch.rand(12, 1).add(0.1), 9 * other), value)


def test_narrow_kernels_are_a_floor_that_shrinks_with_the_samples():
    """Two samples of the same distribution: 1 / N + 1 / N per kernel too narrow for any pair."""
    loss = MultiKernelMMDLoss([0.001])
    for count in (10, 40):
        value = loss(torch.randn(count, 30), torch.randn(count, 30))
        assert value.item() == pytest.approx(2 / count, rel=1e-4)


def test_one_sample_and_zero_samples():
    loss = MultiKernelMMDLoss()
    assert loss(torch.rand(1, 5), torch.rand(1, 5)).isfinite()
    x = torch.rand(4, 5)
    x[1] = 0
    x.requires_grad_()
    loss(x, torch.rand(4, 5)).backward()
    assert x.grad.isfinite().all()
    assert x.grad.abs().max() < 1e4
    assert unit_rows(x)[1].tolist() == [0.0] * 5


def test_half_precision_and_compile():
    x, other = torch.rand(6, 4), torch.rand(6, 4)
    assert multi_kernel(x.bfloat16(), x.bfloat16()).diagonal().tolist() == [len(SIGMAS)] * 6
    compiled = torch.compile(MultiKernelMMDLoss(), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, other), MultiKernelMMDLoss()(x, other))


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="'sigmas'"):
        MultiKernelMMDLoss([])
    with pytest.raises(ValueError, match="'sigmas'"):
        MultiKernelMMDLoss([1.0, 0.0])
    for student, teacher in ((torch.rand(3, 4), torch.rand(3, 5)), (torch.rand(0, 4),) * 2):
        with pytest.raises(ValueError, match="'student'"):
            MultiKernelMMDLoss()(student, teacher)
