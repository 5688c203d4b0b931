"""Maximum mean discrepancy by loops over channels."""

import numpy as np
import pytest
import torch

from graphkit.distill import MMDLoss
from tests.distill.suites import LossSuite


class TestContract(LossSuite):
    def loss(self):
        return MMDLoss()


@pytest.fixture
def pair():
    return torch.randn(6, 3, dtype=torch.double), torch.randn(6, 4, dtype=torch.double)


def mmd(left, right, kernel):
    def mean(a, b):
        return np.mean([[kernel(x, y) for y in b] for x in a])

    return mean(left, left) + mean(right, right) - 2 * mean(left, right)


def channels(x):
    return [c / np.linalg.norm(c) for c in x.numpy().T]


def test_value_by_hand(pair):
    left, right = map(channels, pair)
    square = np.mean([[np.sum((a - b) ** 2) for b in right] for a in left])
    kernels = {
        "linear": np.dot,
        "polynomial": lambda a, b: np.dot(a, b) ** 2,
        "rbf": lambda a, b: np.exp(-np.sum((a - b) ** 2) / (2 * square)),
    }
    for name, kernel in kernels.items():
        found = MMDLoss(name)(*pair).item()
        assert found == pytest.approx(mmd(left, right, kernel), abs=1e-12), name
    shifted = MMDLoss("polynomial", degree=3, offset=1.0)(*pair).item()
    assert shifted == pytest.approx(mmd(left, right, lambda a, b: (np.dot(a, b) + 1) ** 3))


@pytest.mark.parametrize("kernel", ["linear", "polynomial", "rbf"])
def test_same_channels_in_any_order_and_number(pair, kernel):
    student = pair[1][:, [3, 1, 0, 2, 3, 1, 0, 2]] * 5
    assert MMDLoss(kernel)(student, pair[1]).abs() < 1e-12
    assert MMDLoss(kernel)(*pair) > 1e-3


def test_unknown_kernel_is_named():
    with pytest.raises(ValueError, match=r"'kernel'.*'cosine'"):
        MMDLoss("cosine")
