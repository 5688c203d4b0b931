"""Counters and best weights of a run."""

from __future__ import annotations

import math

import torch
from torch import nn

from graphkit.train.run import Result, Run


class Counted(nn.Linear):
    """A layer with something in its state that is no tensor."""

    def get_extra_state(self):
        return {"calls": 3}

    def set_extra_state(self, state):
        self.calls = state["calls"]


def run_of(model: nn.Module) -> Run:
    return Run(model, model, None, None, epochs=9)


def test_a_run_begins_at_nothing() -> None:
    run = run_of(Counted(1, 1))
    assert (run.stage, run.epoch, run.seconds, run.best_epoch, run.improved_epoch) == (0,) * 5
    assert run.best_value == math.inf
    assert (run.metrics, run.history, run.best, run.best_weights) == ({}, [], {}, {})
    assert run.judged is None
    # The history is long: it is not shown.
    assert "history" not in repr(Result({}, 1, 2, 3, 4.0, [{"a": 1.0}]))
    assert Result({}, 1, 2, 3, 4.0).history == []


def test_the_best_is_kept_and_put_back() -> None:
    model = Counted(2, 1)
    run = run_of(model)
    run.epoch, run.metrics = 4, {"val_loss": 0.5}
    run.keep_best(0.5)
    assert (run.best_value, run.best_epoch, run.improved_epoch) == (0.5, 4, 4)
    assert set(run.best_weights) == {"weight", "bias"}
    place, weight = run.best_weights["weight"].data_ptr(), model.weight.detach().clone()
    assert not run.best_weights["weight"].requires_grad
    # An equal value is a later best one, and no better one.
    run.epoch, run.metrics = 6, {"val_loss": 0.5}
    with torch.no_grad():
        model.weight += 1
    run.keep_best(0.5)
    assert (run.best_epoch, run.improved_epoch) == (6, 4)
    assert run.best_weights["weight"].data_ptr() == place, "written into, not made anew"
    assert torch.equal(run.best_weights["weight"], weight + 1)
    run.metrics["val_loss"] = 9.0
    assert run.best == {"val_loss": 0.5}
    with torch.no_grad():
        model.weight.zero_()
    run.restore_best()
    assert torch.equal(model.weight, weight + 1)
    assert model.calls == 3


def test_a_tensor_that_has_grown_is_taken_anew() -> None:
    model = Counted(2, 1)
    run = run_of(model)
    run.keep_best(1.0)
    model.weight = nn.Parameter(torch.ones(1, 3))
    run.keep_best(0.5)
    assert run.best_weights["weight"].tolist() == [[1, 1, 1]]


def test_the_next_stage_begins_afresh_but_goes_on_counting_time() -> None:
    run = run_of(Counted(2, 1))
    run.epoch, run.seconds, run.history = 4, 2.5, [{"val_loss": 1.0}]
    run.keep_best(0.25)
    run.next_stage()
    assert (run.stage, run.epoch, run.best_epoch, run.improved_epoch) == (1, 0, 0, 0)
    assert (run.best_value, run.best, run.best_weights) == (math.inf, {}, {})
    assert (run.seconds, run.history) == (2.5, [{"val_loss": 1.0}])
    run.next_stage()
    assert run.stage == 2


def test_state_goes_round() -> None:
    run, other = run_of(Counted(2, 1)), run_of(Counted(2, 1))
    run.stage, run.epoch, run.seconds, run.metrics = 1, 4, 2.5, {"val_loss": 1.0}
    run.history = [{"val_loss": 1.0}]
    run.keep_best(0.25)
    state = run.state_dict()
    names = {"stage", "epoch", "seconds", "history"}
    names |= {"best", "best_value", "best_epoch", "improved_epoch", "best_weights"}
    assert set(state) == names
    other.load_state_dict(state)
    assert all(getattr(other, name) == getattr(run, name) for name in names - {"best_weights"})
    other.history[0]["val_loss"] = 7.0
    other.best_weights["weight"].zero_()
    assert run.history == [{"val_loss": 1.0}]
    assert torch.equal(run.best_weights["weight"], run.model.weight)
