"""The contract itself: what is refused, what is restored, what may be saved."""

from __future__ import annotations

import copy
import inspect
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from graphkit.continual import (
    ERGNN,
    EWC,
    GEM,
    MAS,
    SSM,
    TWP,
    FineTune,
    JointTrain,
    LwF,
    Strategy,
)
from graphkit.continual.strategy import columns_of
from graphkit.testing import assert_no_trace
from tests.continual.problems import backbone, graph, losses_of_task, output_of_task, see, wander

REPLAYS = (JointTrain, ERGNN, SSM)
ALL = (TWP, EWC, MAS, GEM, LwF, FineTune, *REPLAYS)


@pytest.mark.parametrize("make", ALL)
def test_one_loop_serves_all_strategies(make: type[Strategy]) -> None:
    data, model = graph(), backbone("GAT", dropout=0.3)
    strategy = make(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for task in range(2):
        losses, output = losses_of_task(data, task), output_of_task(data, task)
        see(strategy, data, task)
        for _ in range(3):
            optimizer.zero_grad()
            loss = losses(model).mean()
            (loss + strategy.penalty(loss, output)).backward()
            strategy.before_step()
            optimizer.step()
        strategy.finish_task(losses, output, torch.arange(2 * task, 2 * task + 2))
    assert strategy.tasks == 2
    assert repr(strategy) == f"{make.__name__}(GAT, tasks=2)"
    assert all(bool(p.isfinite().all()) for p in model.parameters())


@pytest.mark.parametrize("make", ALL)
def test_the_model_is_not_changed_by_having_a_strategy(make: type[Strategy]) -> None:
    model = backbone("GCN")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    strategy = make(model)
    strategy.penalty()
    see(strategy, graph(), 0)
    strategy.finish_task(losses_of_task(graph(), 0), output_of_task(graph(), 0))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(parameter.grad is None for parameter in model.parameters())
    assert type(model) is type(backbone("GCN"))


@pytest.mark.parametrize("make", [TWP, EWC, MAS, LwF])
def test_frozen_parameters_are_left_out(make: type[Strategy]) -> None:
    model = backbone("GCN")
    model.convs[0].requires_grad_(False)
    strategy = make(model)
    strategy.finish_task(losses_of_task(graph(), 0), output_of_task(graph(), 0))
    names = list(strategy.parameters())
    assert names
    assert all(name.startswith("convs.1") for name in names)
    assert strategy.penalty(output_fn=output_of_task(graph(), 1)).isfinite()


@pytest.mark.parametrize("make", ALL)
def test_batch_norms_move_with_training_only(make: type[Strategy]) -> None:
    """GEM's counting pass and LwF's and GEM's passes in every step moved them."""
    data, model = graph(), backbone("GCN", norm="batch_norm")
    strategy = make(model)
    losses, output = losses_of_task(data, 0), output_of_task(data, 0)
    see(strategy, data, 0)
    with assert_no_trace(model):
        strategy.finish_task(losses, output)
    see(strategy, data, 1)
    loss = losses(model).mean()
    with assert_no_trace(model) if make not in REPLAYS else nullcontext():
        penalty = strategy.penalty(loss, output)
    (loss + penalty).backward()
    with assert_no_trace(model):
        strategy.before_step()


def test_finding_memories_draws_nothing_and_moves_nothing() -> None:
    data, model = graph(), backbone("GCN", norm="batch_norm", dropout=0.5)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    with assert_no_trace(model):
        GEM(model, memories=2).finish_task(losses_of_task(data, 0))
    assert torch.equal(torch.rand(1), expected)


def test_consolidating_the_released_way_moves_no_batch_norm() -> None:
    model = backbone("GCN", norm="batch_norm")
    with assert_no_trace(model):
        TWP(model, variant="released").finish_task(losses_of_task(graph(), 0))


@pytest.mark.parametrize("make", ALL)
def test_a_later_freeze_changes_the_gradient_and_not_the_value(make: type[Strategy]) -> None:
    """EWC, MAS and TWP raised that the parameter was gone."""
    data, model = graph(), backbone("GCN")
    strategy = make(model)
    see(strategy, data, 0)
    strategy.finish_task(losses_of_task(data, 0), output_of_task(data, 0))
    see(strategy, data, 1)
    wander(model)
    losses, output = losses_of_task(data, 1), output_of_task(data, 1)
    expected = strategy.penalty(losses(model).mean(), output)
    model.convs[0].requires_grad_(False)
    loss = losses(model).mean()
    value = strategy.penalty(loss, output)
    torch.testing.assert_close(value, expected)
    (loss + value).backward()
    strategy.before_step()
    assert model.convs[0].lin.weight.grad is None
    strategy.finish_task(losses, output)
    see(strategy, data, 1)
    assert strategy.penalty(losses(model).mean(), output).isfinite()


@pytest.mark.parametrize("make", [EWC, MAS, TWP])
def test_with_everything_frozen_there_is_nothing_left_to_learn_and_that_is_said(make) -> None:
    data, model = graph(), backbone("GCN")
    strategy = make(model)
    model.requires_grad_(False)
    assert strategy.penalty().item() == 0.0
    with pytest.raises(ValueError, match="frozen"):
        strategy.finish_task(losses_of_task(data, 0), output_of_task(data, 0))


@pytest.mark.parametrize("make", [EWC, MAS, TWP, LwF, ERGNN, SSM])
def test_a_saved_state_does_not_follow_later_tasks(make: type[Strategy]) -> None:
    data, model = graph(), backbone("GCN")
    strategy = make(model)
    see(strategy, data, 0)
    strategy.finish_task(losses_of_task(data, 0), output_of_task(data, 0))
    state = strategy.state_dict()
    before = copy.deepcopy(state)
    other = make(model)
    other.load_state_dict(state)
    wander(model)
    for one in (strategy, other):
        see(one, data, 1)
        one.finish_task(losses_of_task(data, 1), output_of_task(data, 1))
    torch.testing.assert_close(state, before, rtol=0, atol=0)


@pytest.mark.parametrize("make", [MAS, LwF])
def test_outputs_that_are_not_finite_are_named(make: type[Strategy]) -> None:
    data, model = graph(), backbone("GCN")
    strategy, output = make(model), output_of_task(data, 0)
    with pytest.raises(ValueError, match="'output_fn' gave outputs that are not finite"):
        strategy.finish_task(losses_of_task(data, 0), lambda model: output(model) / 0)


def test_wrong_models_and_losses_are_refused() -> None:
    with pytest.raises(TypeError, match="'model'"):
        FineTune("GCN")
    with pytest.raises(ValueError, match="no trainable parameter"):
        FineTune(nn.ReLU())
    with pytest.raises(ValueError, match=r"'weight'.*run the model once"):
        FineTune(nn.LazyLinear(2))
    model = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="empty list"):
        FineTune(model).finish_task([])
    twp = TWP(model, topology_weight=0.0)
    for losses, message in (
        (lambda model: model(torch.ones(3, 2)), r"\[3, 2\]"),
        (lambda model: torch.ones(3), "do not depend"),
        (lambda model: model(torch.ones(1, 2)).sum() / 0, "not finite"),
        (lambda model: model(torch.ones(1, 2)).sum() / torch.tensor([1.0, 0.0]), "not finite"),
        (lambda model: model(torch.ones(0, 2)).sum(dim=1), r"\[0\]"),
    ):
        with pytest.raises(ValueError, match=message):
            twp.finish_task(losses)
    assert twp.tasks == 0


NUMBERS = [
    (strategy, option.name)
    for strategy in ALL
    for option in inspect.signature(strategy).parameters.values()
    if isinstance(option.default, float)
]


@pytest.mark.parametrize(("strategy", "name"), NUMBERS)
def test_every_option_that_is_a_number_is_checked_by_name(
    strategy: type[Strategy], name: str
) -> None:
    """A weight below zero rewards forgetting, and NaN is no number: neither is taken."""
    for value in (-1.0, float("nan")):
        with pytest.raises(ValueError, match=name):
            strategy(nn.Linear(2, 2), **{name: value})


@pytest.mark.parametrize("columns", [[2], [-3], [0, 2], [-3, 2], []])
def test_columns_that_are_there_are_taken(columns: list[int]) -> None:
    out = torch.arange(6.0).view(2, 3)
    index = torch.tensor(columns, dtype=torch.long)
    assert torch.equal(columns_of(out, index), out[:, index])
    mask = torch.tensor([True, False, True])
    assert torch.equal(columns_of(out, mask), out[:, [0, 2]])


@pytest.mark.parametrize("columns", [[3], [-4], [0, 3], [-4, 0], [True, False]])
def test_columns_that_are_not_there_are_refused(columns: list[int]) -> None:
    with pytest.raises(ValueError, match="the outputs have 3 columns"):
        columns_of(torch.ones(2, 3), torch.tensor(columns))
