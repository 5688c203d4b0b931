"""Terms that drown others are named once, in the second call, and only then."""

import warnings

import pytest
import torch
from torch import nn

from graphkit.lopsided import LopsidedWarning, watch_penalty, watch_terms


class Owner:
    pass


def step(owner, model, weight, apart=False):
    """One step of a task and a penalty whose gradients are equal but for a weight."""
    model.zero_grad()
    x = torch.ones(1, 3)
    task, penalty = model(x).sum(), weight * model(x).sum()
    watch_penalty(owner, {f"the penalty at {weight}": penalty}, model.parameters())
    if apart:
        task.backward()
        penalty.backward()
    else:
        (task + penalty).backward()


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def caught(run):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        run()
    return [str(w.message) for w in seen if issubclass(w.category, LopsidedWarning)]


def test_a_penalty_over_twice_the_task_is_named_once_with_what_to_take(model):
    owner = Owner()
    messages = caught(lambda: [step(owner, model, 5.0) for _ in range(5)])
    assert len(messages) == 1
    assert "the penalty at 5.0 is 5 times" in messages[0]
    assert "take 0.2 of that weight" in messages[0]


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.9])
def test_a_penalty_that_leaves_the_task_its_say_is_not(model, weight):
    owner = Owner()
    assert caught(lambda: [step(owner, model, weight) for _ in range(3)]) == []


def test_the_first_call_alone_is_not_judged(model):
    assert caught(lambda: step(Owner(), model, 50.0)) == []


def test_losses_differentiated_apart_are_not_judged(model):
    owner = Owner()
    assert caught(lambda: [step(owner, model, 50.0, apart=True) for _ in range(3)]) == []


def test_looking_changes_no_gradient_and_leaves_no_hook(model):
    owner = Owner()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(3):
            step(owner, model, 5.0)
            assert torch.equal(model.weight.grad, torch.full((1, 3), 6.0))
    assert all(not parameter._backward_hooks for parameter in model.parameters())


def test_frozen_parameters_and_constant_terms_pass(model):
    owner = Owner()
    model.requires_grad_(False)

    def look():
        watch_penalty(owner, {"p": model(torch.ones(1, 3)).sum()}, model.parameters())

    assert caught(lambda: [look() for _ in range(3)]) == []
    model.requires_grad_(True)
    owner, constant = Owner(), torch.tensor(1.0)
    for _ in range(3):
        assert caught(lambda: watch_penalty(owner, {"p": constant}, model.parameters())) == []


@pytest.mark.parametrize(
    ("weights", "named"),
    [((1e4, 1.0), "'big' is 1e+04 times that of 'small'"), ((1e2, 1.0), ""), ((1e4, 0.0), "")],
)
def test_terms_of_one_objective_are_compared_with_each_other(model, weights, named):
    owner, (big, small) = Owner(), weights

    def look():
        terms = {"big": big * model.weight.sum(), "small": small * model.weight.sum()}
        watch_terms(owner, terms, model.parameters())

    messages = caught(lambda: [look() for _ in range(4)])
    assert len(messages) == bool(named)
    assert named in "".join(messages)
    if named:
        assert "lower 'big', or raise 'small'" in messages[0]
