"""The contract itself: what is refused, what is restored, what may be saved."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from graphkit.continual import EWC, GEM, MAS, TWP, FineTune, JointTrain, LwF, Strategy
from tests.continual.problems import backbone, graph, losses_of_task, output_of_task

ALL = (TWP, EWC, MAS, GEM, LwF, FineTune, JointTrain)


@pytest.mark.parametrize("make", ALL)
def test_one_loop_serves_all_strategies(make: type[Strategy]) -> None:
    data, model = graph(), backbone("GAT", dropout=0.3)
    strategy = make(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for task in range(2):
        losses, output = losses_of_task(data, task), output_of_task(data, task)
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
        (lambda model: model(torch.ones(0, 2)).sum(dim=1), r"\[0\]"),
    ):
        with pytest.raises(ValueError, match=message):
            twp.finish_task(losses)
    assert twp.tasks == 0
