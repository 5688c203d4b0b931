"""Global structure against the table of all pairs."""

import pytest
import torch

from graphkit.distill import GlobalStructureLoss
from tests.distill.suites import LossSuite


class TestContract(LossSuite):
    def loss(self):
        return GlobalStructureLoss()


def table(x, kernel):
    x = x / x.norm(dim=-1, keepdim=True) if kernel == "cosine" else x
    return x @ x.t()


@pytest.mark.parametrize("kernel", ["cosine", "linear"])
def test_value_and_gradient_of_the_table(kernel):
    student = torch.randn(9, 3, dtype=torch.double, requires_grad=True)
    teacher = torch.randn(9, 5, dtype=torch.double)
    found = GlobalStructureLoss(kernel)(student, teacher)
    wanted = (table(student, kernel) - table(teacher, kernel)).square().mean()
    torch.testing.assert_close(found, wanted)
    grads = [torch.autograd.grad(value, student)[0] for value in (found, wanted)]
    torch.testing.assert_close(*grads)


def test_turned_features_cost_nothing():
    student = torch.randn(9, 4, dtype=torch.double)
    turn = torch.linalg.qr(torch.randn(4, 4, dtype=torch.double)).Q
    assert GlobalStructureLoss()(student @ turn, student).abs() < 1e-14


def test_unknown_kernel_is_named():
    with pytest.raises(ValueError, match=r"'kernel'.*'rbf'"):
        GlobalStructureLoss("rbf")
