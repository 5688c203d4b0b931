"""The distiller: names, caches, modes, and the contract of an objective."""

import copy

import pytest
import torch
from torch import nn
from torch_geometric.nn import GCN

from graphkit.distill import (
    AttentionTransferLoss,
    Distiller,
    FitNetLoss,
    GraphContrastiveLoss,
    LocalStructureLoss,
    SoftTargetLoss,
)
from graphkit.distill.loss import DistillationLoss
from graphkit.taps import tap
from graphkit.testing import ObjectiveSuite, assert_no_trace, count_hooks
from tests.distill.oracles import random_graph
from tests.torchvision_networks import images, network

N = 12


@pytest.fixture
def graph():
    return torch.randn(N, 8), random_graph(N, 40)


@pytest.fixture
def models():
    return GCN(8, 4, 2, 3, dropout=0.5), GCN(8, 16, 3, 3, dropout=0.5)


class TestDistiller(ObjectiveSuite):
    runs_training_step = True
    not_claimed = {"state": "the teacher is another model; its weights are not the student's"}

    def make(self, model):
        pairs = [("convs.0", "convs.0"), ("", "")]
        losses = [LocalStructureLoss(bandwidth=1.0), SoftTargetLoss()]
        return Distiller(model, copy.deepcopy(model), pairs, losses, weights=[100.0, 1.0])

    def value(self, objective, model, x, edge_index):
        objective(x, edge_index)
        return objective.penalty()


class Recorder(SoftTargetLoss):
    """Remembers what it is called with."""

    takes_edges = True
    takes_batch = True

    def forward(self, student, teacher, edge_index, edge_index_teacher=None, batch=None):
        self.called = (student, teacher, edge_index, edge_index_teacher, batch)
        return student.sum() * 0.0 + 2.0


def test_losses_see_the_named_features(graph, models):
    student, teacher = models
    student.dropout = nn.Dropout(0.0)
    recorder = Recorder()
    model = Distiller(student, teacher, [("convs.0", "convs.1")], recorder, weights=3.0)
    with tap(student, "convs.0") as seen:
        out = model(*graph)
        assert model.penalty() == 6.0
    assert out.shape == (N, 3)
    ours, theirs, edge_index, other, batch = recorder.called
    assert torch.equal(ours, seen["convs.0"].output)
    teacher.eval()
    with torch.no_grad(), tap(teacher, "convs.1") as seen:
        teacher(*graph)
    assert torch.equal(theirs, seen["convs.1"].output)
    assert not theirs.requires_grad
    assert edge_index is graph[1]
    assert other is None
    assert batch is None


def test_sum_of_weighted_losses(graph, models):
    student, teacher = (model.eval() for model in models)
    lsp, kd = LocalStructureLoss(), SoftTargetLoss()
    pairs = [("convs.0", "convs.1"), ("", "")]
    model = Distiller(student, teacher, pairs, [lsp, kd], [10.0, 0.5])
    model.train()
    student.eval()
    with torch.no_grad(), tap(student, "convs.0") as s, tap(teacher, "convs.1") as t:
        outs = student(*graph), teacher(*graph)
    wanted = 10 * lsp(s["convs.0"].output, t["convs.1"].output, graph[1]) + 0.5 * kd(*outs)
    model(*graph)
    torch.testing.assert_close(model.penalty(), wanted)


def test_teacher_runs_once_on_a_static_graph(graph, models):
    student, teacher = models
    calls = []
    teacher.register_forward_hook(lambda *_: calls.append(1))
    model = Distiller(student, teacher, [("", "")], SoftTargetLoss())
    values = []
    for _ in range(3):
        torch.manual_seed(0)
        model(*graph)
        values.append(model.penalty().detach())
    assert len(calls) == 1
    assert values[0] == values[1] == values[2]
    model.forget()
    torch.manual_seed(0)
    model(*graph)
    assert model.penalty() == values[0]
    graph[0].mul_(1.5)
    model(*graph)
    model.penalty()
    assert len(calls) == 3


def test_modes_and_hooks_of_the_teacher_come_back(graph, models):
    student, teacher = models
    teacher.train()
    teacher.convs[1].eval()
    model = Distiller(student, teacher, [("convs.0", "convs.0")], LocalStructureLoss())
    with assert_no_trace(teacher):
        model(*graph)
        model.penalty()
    teacher.forward = None
    model(graph[0].clone(), graph[1])
    with assert_no_trace(teacher), pytest.raises(TypeError):
        model.penalty()
    assert count_hooks(student) == 0


def test_parameters_are_those_of_student_and_losses(graph, models):
    student, teacher = models
    model = Distiller(student, teacher, [("convs.0", "convs.0")], FitNetLoss(4, 16))
    names = {name.split(".")[0] for name, _ in model.named_parameters()}
    assert names == {"student", "losses"}
    before = copy.deepcopy(teacher.state_dict())
    model(*graph).sum().backward(retain_graph=True)
    model.penalty().backward()
    assert all(parameter.grad is not None for parameter in model.losses.parameters())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())


def test_evaluation_is_the_student_alone(graph, models):
    model = Distiller(*models, [("", "")], SoftTargetLoss()).eval()
    assert torch.equal(model(*graph), models[0](*graph))
    with pytest.raises(RuntimeError, match="training mode"):
        model.penalty()


def test_penalty_is_given_once(graph, models):
    model = Distiller(*models, [("", "")], SoftTargetLoss())
    model(*graph)
    model.penalty()
    with pytest.raises(RuntimeError, match="each penalty"):
        model.penalty()


class Dynamic(nn.Module):
    """Builds its edges itself, from the features."""

    def __init__(self, shift):
        super().__init__()
        self.lin = nn.Linear(8, 4)
        self.edges = Shift(shift)

    def forward(self, x, batch=None):
        self.edges(x)
        return self.lin(x)


class Shift(nn.Module):
    def __init__(self, shift):
        super().__init__()
        self.shift = shift

    def forward(self, x):
        ring = torch.arange(x.size(0))
        return torch.stack([ring.roll(self.shift), ring])


def test_dynamic_graphs_are_compared_on_both_edge_sets(graph):
    recorder = Recorder()
    batch = torch.zeros(N, dtype=torch.long)
    models = Dynamic(1), Dynamic(2)
    with_graphs = Distiller(*models, [("lin", "lin")], recorder, graphs=[("edges", "edges")])
    with_graphs(graph[0], batch=batch)
    with_graphs.penalty()
    assert torch.equal(recorder.called[2], models[0].edges(graph[0]))
    assert torch.equal(recorder.called[3], models[1].edges(graph[0]))
    assert recorder.called[4] is batch
    without = Distiller(*models, [("lin", "lin")], LocalStructureLoss())
    without(graph[0])
    with pytest.raises(ValueError, match="graphs="):
        without.penalty()


def test_wrong_arguments_are_named(models):
    loss = LocalStructureLoss()
    with pytest.raises(ValueError, match=r"'conv.0'.*convs.0"):
        Distiller(*models, [("conv.0", "convs.0")], loss)
    with pytest.raises(ValueError, match=r"'convs.7'"):
        Distiller(*models, [("convs.0", "convs.7")], loss)
    with pytest.raises(ValueError, match="'losses' has 2 entries for 1 pairs"):
        Distiller(*models, [("", "")], [loss, loss])
    with pytest.raises(ValueError, match="'weights' has 2 entries"):
        Distiller(*models, [("", "")], loss, weights=[1.0, 2.0])
    with pytest.raises(ValueError, match="'pairs' is empty"):
        Distiller(*models, [], loss)
    with pytest.raises(TypeError, match=r"'losses'.*Linear"):
        Distiller(*models, [("", "")], nn.Linear(1, 1))


def test_output_that_is_no_tensor_is_named(graph, models):
    class Lists(GCN):
        def forward(self, *args):
            return [super().forward(*args)]

    model = Distiller(models[0], Lists(8, 4, 2, 3), [("", "")], AttentionTransferLoss())
    model(*graph)
    with pytest.raises(TypeError, match="list"):
        model.penalty()


@pytest.mark.vision
def test_a_torchvision_network_learns_from_another():
    """Features that both networks overwrite in place are compared as the layers gave them."""
    student, teacher, x = network("mobilenet"), network("bottlenecks"), images(4)
    pairs = [("features.0.1", "bn1"), ("", "")]
    distilled = Distiller(student, teacher, pairs, [Moments(), SoftTargetLoss()]).train()
    student.eval()
    distilled(x)
    ours = student.features[0][1](student.features[0][0](x))
    theirs = teacher.bn1(teacher.conv1(x))
    wanted = Moments()(ours, theirs) + SoftTargetLoss()(student(x), teacher(x))
    penalty = distilled.penalty()
    torch.testing.assert_close(penalty, wanted)
    penalty.backward()
    assert student.features[0][0].weight.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in teacher.parameters())


class Moments(DistillationLoss):
    """Compares mean and deviation over all cells."""

    def forward(self, student, teacher):
        return (student.mean() - teacher.mean()).square() + (student.std() - teacher.std()).square()


def test_each_loss_has_its_usual_weight_unless_told_otherwise() -> None:
    pairs = [("convs.0", "convs.0"), ("", "")]
    losses = [GraphContrastiveLoss(8, 8), SoftTargetLoss()]
    models = GCN(4, 8, 2, 3), GCN(4, 8, 2, 3)
    assert Distiller(*models, pairs, losses).weights == [0.03, 1.0]
    assert Distiller(*models, pairs, losses, 2).weights == [2.0, 2.0]
    assert Distiller(*models, pairs, losses, [0.0, 3]).weights == [0.0, 3.0]
