"""Distillation inside the training loop."""

from types import SimpleNamespace

import pytest
import torch
from torch_geometric.nn import GCN

from graphkit.datasets import load
from graphkit.distill import Distillation, Distiller, FitNetLoss, LocalStructureLoss
from graphkit.train import NodeTask, Trainer, seed_everything

# Weights are as large as these tests need them.
pytestmark = pytest.mark.filterwarnings("ignore::graphkit.lopsided.LopsidedWarning")


@pytest.fixture(scope="module")
def data():
    return load("digits", k=4)[0]


def learn(data, weight, epochs=None):
    seed_everything(0)
    student, teacher = GCN(64, 4, 2, 10), GCN(64, 16, 2, 10)
    model = Distiller(student, teacher, [("convs.0", "convs.0")], FitNetLoss(4, 16), weights=weight)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    callback = Distillation(model, epochs)
    trainer = Trainer(epochs=4, monitor=None, callbacks=[callback], seed=0, progress=False)
    trainer.fit(model, optimizer, NodeTask(data))
    return student, model


@pytest.mark.parametrize("epochs", [None, 2])
def test_same_as_a_loop_by_hand(data, epochs):
    student, _ = learn(data, 5.0, epochs)
    seed_everything(0)
    twin, teacher = GCN(64, 4, 2, 10), GCN(64, 16, 2, 10)
    loss = FitNetLoss(4, 16)
    optimizer = torch.optim.Adam([*twin.parameters(), *loss.parameters()], lr=0.01)
    for epoch in range(4):
        optimizer.zero_grad()
        hidden = twin.convs[0](data.x, data.edge_index)
        out = twin.convs[1](hidden.relu(), data.edge_index)
        task = torch.nn.functional.cross_entropy(out[data.train_mask], data.y[data.train_mask])
        with torch.no_grad():
            hint = teacher.convs[0](data.x, data.edge_index)
        over = epochs is not None and epoch >= epochs
        (task if over else task + 5.0 * loss(hidden, hint)).backward()
        optimizer.step()
    for ours, theirs in zip(student.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_distillation_ends_after_some_epochs(data):
    plain, short, full = (learn(data, *args)[0] for args in ((0.0,), (5.0, 2), (5.0,)))
    weights = [model.convs[0].lin.weight for model in (plain, short, full)]
    assert not torch.allclose(weights[0], weights[1])
    assert not torch.allclose(weights[1], weights[2])


def test_nothing_is_kept_after_the_fit(data):
    _, model = learn(data, 1.0)
    assert model.memo.value is None


def test_only_the_distiller_can_be_fitted(data):
    student = GCN(64, 4, 2, 10)
    model = Distiller(student, GCN(64, 4, 2, 10), [("", "")], LocalStructureLoss())
    optimizer = torch.optim.Adam(student.parameters())
    trainer = Trainer(epochs=1, callbacks=[Distillation(model)], progress=False)
    with pytest.raises(ValueError, match="fit the distiller"):
        trainer.fit(student, optimizer, NodeTask(data))


def test_the_teacher_goes_where_the_student_was_taken():
    model = Distiller(GCN(4, 4, 1, 2), GCN(4, 4, 1, 2), [("convs.0", "convs.0")], FitNetLoss(4, 4))
    assert model.teacher not in [*model.modules()]
    model.to("meta")
    Distillation(model).on_fit_start(SimpleNamespace(model=model))
    assert all(parameter.is_meta for parameter in model.teacher.parameters())
