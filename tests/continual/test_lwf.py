"""LwF: the distillation term spelled out, and its gradient, which the released one lacks."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from graphkit.continual import LwF
from graphkit.testing import ObjectiveSuite
from tests.continual.problems import backbone, graph, losses_of_task, output_of_task, wander


class TestContract(ObjectiveSuite):
    def make(self, model: nn.Module) -> LwF:
        lwf = LwF(model)
        lwf.finish_task(lambda model: model.sum(), columns=torch.tensor([0, 1]))
        return lwf

    def learn(self, objective: LwF, model: nn.Module) -> None:
        objective.model = model
        objective.finish_task(lambda model: model.sum(), columns=torch.tensor([2, 3]))

    def value(self, objective: LwF, model: nn.Module, x: Tensor, edge_index: Tensor) -> Tensor:
        objective.model = model
        return objective.penalty(output_fn=lambda model: model(x, edge_index))


def test_the_penalty_is_the_divergence_of_softened_old_outputs() -> None:
    model = backbone("GCN")
    lwf = LwF(model, weight=3.0, temperature=2.0)
    for task in range(2):
        lwf.finish_task(
            losses_of_task(graph(), task), columns=torch.tensor([2 * task, 2 * task + 1])
        )
    old = copy.deepcopy(model)
    wander(model)
    output = output_of_task(graph(), 1)
    p, q = (output(m).view(-1, 2, 2).div(2.0).softmax(-1) for m in (old, model))
    expected = 3.0 * (p * (p / q).log()).sum(-1).mean(0).sum()
    torch.testing.assert_close(lwf.penalty(output_fn=output), expected)


def test_the_gradient_reaches_the_model_and_not_the_teacher() -> None:
    model = backbone("GCN")
    lwf = LwF(model)
    lwf.finish_task(losses_of_task(graph(), 0))
    wander(model)
    lwf.penalty(output_fn=output_of_task(graph(), 1)).backward()
    assert any(bool(parameter.grad.any()) for parameter in model.parameters())
    assert lwf.teacher is not None
    assert all(parameter.grad is None for parameter in lwf.teacher.parameters())


def test_the_teacher_stays_what_the_model_was_and_is_one_for_all_tasks() -> None:
    model = backbone("GCN", dropout=0.5).train()
    lwf = LwF(model)
    lwf.finish_task(losses_of_task(graph(), 0))
    kept = lwf.teacher.convs[0].lin.weight.clone()
    wander(model)
    assert torch.equal(lwf.teacher.convs[0].lin.weight, kept)
    assert not lwf.teacher.training
    lwf.finish_task(losses_of_task(graph(), 1))
    assert torch.equal(lwf.teacher.convs[0].lin.weight, model.convs[0].lin.weight)
    assert len(lwf.groups) == 2


def test_errors_say_what_is_wrong() -> None:
    model = backbone("GCN")
    with pytest.raises(ValueError, match="'temperature'"):
        LwF(model, temperature=0.0)
    lwf = LwF(model)
    assert lwf.penalty().item() == 0.0
    lwf.finish_task(losses_of_task(graph(), 0))
    with pytest.raises(ValueError, match="output_fn"):
        lwf.penalty()


def grown(lin: nn.Linear, width: int) -> nn.Linear:
    """The layer with further random columns behind those it has."""
    wider = nn.Linear(lin.in_features, width)
    with torch.no_grad():
        wider.weight[: lin.out_features] = lin.weight
        wider.bias[: lin.out_features] = lin.bias
    return wider


class Growing(nn.Module):
    """A trunk and a head whose columns grow."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.trunk, self.head = nn.Linear(3, 4), nn.Linear(4, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x).relu())


def no_loss(model: nn.Module) -> Tensor:
    raise AssertionError("LwF needs no loss")


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize(("before", "after"), [(1, 3), (2, 5)])
def test_new_columns_are_left_out_of_the_comparison(
    before: int, after: int, multi_label: bool
) -> None:
    """One old column was broadcast against three new ones; 2 and 5 were torch's size error."""
    x, model = torch.randn(6, 3), Growing(before)
    lwf = LwF(model, multi_label=multi_label)
    lwf.finish_task(no_loss)
    old = copy.deepcopy(model)
    model.head = grown(model.head, after)
    assert lwf.penalty(output_fn=lambda model: model(x)).item() == pytest.approx(0.0, abs=1e-7)
    wander(model)
    plain = LwF(old, multi_label=multi_label)
    plain.finish_task(no_loss, columns=torch.arange(before))
    narrow = lambda one: one(x)[:, :before]  # noqa: E731
    plain.model = model
    expected = plain.penalty(output_fn=narrow)
    torch.testing.assert_close(lwf.penalty(output_fn=lambda model: model(x)), expected)


def test_earlier_tasks_stand_for_the_columns_there_were_then() -> None:
    x, model = torch.randn(6, 3), Growing(2)
    lwf = LwF(model, temperature=1.0)
    lwf.finish_task(no_loss, output_fn=lambda model: model(x))
    model.head = grown(model.head, 5)
    lwf.finish_task(no_loss, output_fn=lambda model: model(x))
    assert lwf.groups == [2, 5]
    old = model(x).detach()
    wander(model)
    new = model(x)
    expected = sum(
        (old[:, :n].softmax(1) * (old[:, :n].log_softmax(1) - new[:, :n].log_softmax(1)))
        .sum(1)
        .mean()
        for n in (2, 5)
    )
    torch.testing.assert_close(lwf.penalty(output_fn=lambda model: model(x)), expected)


@pytest.mark.parametrize("known", [True, False])
def test_a_grown_model_resumes(known: bool) -> None:
    x, model = torch.randn(6, 3), Growing(2)
    lwf = LwF(model)
    lwf.finish_task(no_loss, output_fn=(lambda model: model(x)) if known else None)
    state = copy.deepcopy(lwf.state_dict())
    model.head = grown(model.head, 5)
    wander(model)
    expected = lwf.penalty(output_fn=lambda model: model(x))
    resumed = LwF(copy.deepcopy(model))
    resumed.load_state_dict(state)
    torch.testing.assert_close(resumed.penalty(output_fn=lambda model: model(x)), expected)
    assert resumed.teacher.head.weight.shape == (2, 4)


class Heads(nn.Module):
    """One head per task, their outputs side by side."""

    def __init__(self, tasks: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(3, 2) for _ in range(tasks))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([head(x) for head in self.heads], 1)


def test_a_model_with_a_new_head_resumes_where_the_old_columns_are_known() -> None:
    x, model = torch.randn(6, 3), Heads(1)
    known, unknown = LwF(model), LwF(model)
    known.finish_task(no_loss, output_fn=lambda model: model(x))
    unknown.finish_task(no_loss)
    states = known.state_dict(), unknown.state_dict()
    model.heads.append(nn.Linear(3, 2))
    resumed = LwF(model)
    resumed.load_state_dict(states[0])
    assert resumed.penalty(output_fn=lambda model: model(x)).item() == 0.0
    with pytest.raises(ValueError, match=r"heads\.1.*give 'output_fn' to finish_task"):
        resumed.load_state_dict(states[1])
    resumed.load_state_dict(states[1], teacher=Heads(1))
    assert resumed.penalty(output_fn=lambda model: model(x)).item() == 0.0


def test_layers_that_note_their_size_need_a_teacher_of_the_old_size() -> None:
    data, model = graph(), backbone("GAT")
    lwf = LwF(model)
    lwf.finish_task(no_loss)
    state = lwf.state_dict()
    output = output_of_task(data, 0)
    torch.manual_seed(1)
    wider = type(model)(5, 6, num_layers=2, out_channels=7).double()
    resumed = LwF(wider)
    resumed.load_state_dict(state)
    with pytest.raises(ValueError, match="teacher=…"):
        resumed.penalty(output_fn=output)
    resumed.load_state_dict(state, teacher=backbone("GAT"))
    assert torch.equal(output(resumed.teacher), output(lwf.teacher))


def test_columns_that_are_gone_or_never_were_are_named() -> None:
    x, model = torch.randn(6, 3), Growing(3)
    lwf = LwF(model)
    lwf.finish_task(no_loss)
    model.head = nn.Linear(4, 2)
    with pytest.raises(ValueError, match=r"\[6, 2\].*\[6, 3\].*only be added"):
        lwf.penalty(output_fn=lambda model: model(x))
    lwf = LwF(model)
    lwf.finish_task(no_loss, columns=torch.tensor([1, 2]))
    with pytest.raises(ValueError, match=r"'columns' is \[1, 2\].*2 columns"):
        lwf.penalty(output_fn=lambda model: model(x))
    with pytest.raises(ValueError, match=r"outputs \[n, C\], got \[6\]"):
        lwf.penalty(output_fn=lambda model: model(x)[:, 0])


def test_dropout_is_no_forgetting() -> None:
    """A model that has learned nothing since says what the teacher says, also with dropout."""
    model = backbone("GCN", dropout=0.5).train()
    lwf = LwF(model)
    lwf.finish_task(losses_of_task(graph(), 0))
    output = output_of_task(graph(), 1)
    assert lwf.penalty(output_fn=output).item() == pytest.approx(0.0, abs=1e-6)
    assert all(module.training for module in model.modules())
    wander(model)
    assert lwf.penalty(output_fn=output).item() > 1e-4


def test_columns_from_the_end_are_refused() -> None:
    model, x = nn.Linear(2, 4), torch.rand(3, 2)
    with pytest.raises(ValueError, match="'columns' must not be negative, got -2"):
        LwF(model).finish_task(lambda m: m(x).sum(), columns=torch.tensor([-2, -1]))


def test_a_task_whose_outputs_are_refused_leaves_nothing_behind() -> None:
    model, x = nn.Linear(2, 4), torch.rand(3, 2)
    lwf = LwF(model)
    lwf.finish_task(no_loss, lambda m: m(x), torch.tensor([0, 1]))
    before, teacher = lwf.state_dict(), lwf.teacher
    with pytest.raises(ValueError, match="outputs"):
        lwf.finish_task(no_loss, lambda m: m(x) * torch.nan, torch.tensor([2, 3]))
    assert lwf.teacher is teacher
    assert len(lwf.groups) == len(before["groups"]) == 1
