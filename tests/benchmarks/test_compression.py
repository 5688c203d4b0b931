"""The protocols of compression."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.harness.fitting import Fitter
from benchmarks.problems import compression
from benchmarks.protocols import quantization

FIT = Fitter({"epochs": 2, "lr": 0.005, "monitor": None}, seed=0)


def test_held_out_images_are_not_trained_on():
    problem = compression.load("digits", held_out=400, seed=1)
    (x,), y, rows = problem.parts["val"]
    train = problem.task.tensors[0]
    assert (len(x), len(y), len(rows), len(train)) == (400, 400, 400, 678)
    every = torch.cat([x, train]).flatten(1)
    assert len(every.unique(dim=0)) >= len(every) - 5
    test = problem.parts["test"][0][0]
    assert len(test) == 719
    other = compression.load("digits", held_out=400, seed=2).parts["val"][0][0]
    assert not torch.equal(other, x)


def test_models_are_timed_in_turns():
    calls = []

    class Noted(nn.Module):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def forward(self, x):
            assert not self.training
            calls.append(self.name)

    seconds = compression.times({"a": Noted("a"), "b": Noted("b")}, (1,), repeats=2)
    assert calls == ["a", "b"] * 3
    assert set(seconds) == {"a", "b"}


def test_quantization_reports_gains_and_sizes():
    found = quantization.run({"name": "digits"}, seed=0, fit=FIT, epochs=2, arms=("constant1",))
    assert found["gain_full"] == pytest.approx(found["hard_accuracy"] - found["full"])
    assert found["gain_constant1"] == pytest.approx(found["hard_accuracy"] - found["constant1"])
    # 9 * 8 * 16 + 9 * 16 * 32 weights of 2 bits each, and three levels in either layer.
    assert found["weights_ratio"] == pytest.approx(4 * 5760 / (5760 / 4 + 24))
    assert 0 < found["zeros"] < 1
    assert found["error_packed"] < 1e-4
    assert "time_edges" not in found
