"""What all losses owe: a finite gradient, errors that name the argument, no NaN from nothing."""

import pytest
import torch

from graphkit.distill import (
    AttentionTransferLoss,
    FitNetLoss,
    GlobalStructureLoss,
    GraphContrastiveLoss,
    LocalStructureLoss,
    MMDLoss,
    SoftTargetLoss,
)
from graphkit.distill.loss import DistillationLoss, check_edges
from graphkit.testing import assert_not_mutated

EDGES = torch.tensor([[0, 1, 2, 3, 4], [1, 2, 1, 0, 1]])
LOSSES = {
    "lsp": LocalStructureLoss,
    "kd": SoftTargetLoss,
    "kd-multilabel": lambda: SoftTargetLoss(multilabel=True),
    "fitnet": lambda: FitNetLoss(4, 4).double(),
    "at": AttentionTransferLoss,
    "at-released": lambda: AttentionTransferLoss(variant="released"),
    "at-lsp": lambda: AttentionTransferLoss(power=1.5, variant="lsp"),
    "mmd": MMDLoss,
    "mmd-linear": lambda: MMDLoss("linear"),
    "mmd-rbf": lambda: MMDLoss("rbf"),
    "gsp": GlobalStructureLoss,
    "gsp-linear": lambda: GlobalStructureLoss("linear"),
    "gcrd": lambda: GraphContrastiveLoss(4, 4, 8).double(),
}


def call(loss: DistillationLoss, student, teacher, edge_index=EDGES):
    return loss(student, teacher, edge_index) if loss.takes_edges else loss(student, teacher)


@pytest.fixture(params=LOSSES.values(), ids=LOSSES.keys())
def loss(request):
    torch.manual_seed(0)
    return request.param()


def test_gradient(loss):
    student, teacher = torch.randn(2, 5, 4, dtype=torch.double).unbind()
    if isinstance(loss, MMDLoss) and loss.kernel == "rbf":
        loss.width = lambda *_: torch.tensor(0.7, dtype=torch.double)
    if isinstance(loss, LocalStructureLoss):
        loss.bandwidth = 1.0
    student.requires_grad_()
    with assert_not_mutated(student=student, teacher=teacher):
        assert torch.autograd.gradcheck(lambda s: call(loss, s, teacher), (student,))


def test_zero_features_and_no_nodes(loss):
    for size in (5, 0):
        student = torch.zeros(size, 4, dtype=torch.double, requires_grad=True)
        edges = EDGES if size else EDGES[:, :0]
        value = call(loss, student, torch.zeros(size, 4, dtype=torch.double), edges)
        value.backward()
        assert value.isfinite()
        assert student.grad.isfinite().all()


def test_wrong_input_is_named(loss):
    x = torch.randn(5, 4, dtype=torch.double)
    with pytest.raises(ValueError, match="'teacher' 4"):
        call(loss, x, x[1:])
    with pytest.raises(TypeError, match=r"'teacher'.*int64"):
        call(loss, x, x.long())
    with pytest.raises(ValueError, match=r"'student'.*\[5\]"):
        call(loss, x[:, 0], x)
    with pytest.raises(ValueError, match=r"'student'.*infinite"):
        call(loss, x / 0, x)


@pytest.mark.parametrize("name", ["kd", "fitnet"])
def test_widths_are_compared(name):
    with pytest.raises(ValueError, match="columns"):
        LOSSES[name]()(torch.randn(5, 4).double(), torch.randn(5, 3).double())


def test_edges_name_nodes_that_are_there():
    check_edges(torch.tensor([[0, 4], [4, 0]]), 5)
    check_edges(torch.empty(2, 0).long(), 0)
    for wrong, edges in ((-1, [[0], [-1]]), (5, [[5], [0]]), (-2, [[-2], [7]])):
        with pytest.raises(IndexError, match=f"holds {wrong}, but there are 5 nodes"):
            check_edges(torch.tensor(edges), 5)
