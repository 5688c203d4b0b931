"""The protocols of compression."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.harness.fitting import Fitter
from benchmarks.problems import compression
from benchmarks.protocols import pruning, quantization
from graphkit.compress import ChannelDependency

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


def test_pruning_reports_gains_over_the_same_numbers_of_filters():
    dataset = {"name": "digits", "held_out": 400}
    options = {"width": 4, "population": 6, "generations": 3, "keep": 0.6, "epochs": 1, "draws": 2}
    found = pruning.run(dataset, seed=0, fit=FIT, **options)
    assert found["gain_l1"] == pytest.approx(found["evolved"] - found["l1"])
    assert found["gain_random"] == pytest.approx(found["evolved"] - found["random"])
    assert found["loss_tuned"] == pytest.approx(found["full"] - found["evolved_tuned"])
    assert found["kernels_error"] == 0
    assert found["keep"] < 1 < found["parameters"]
    assert found["multiplications"] > 1
    assert found["evaluations"] <= found["individuals"] == 18


def test_rivals_remove_as_many_filters_of_every_layer():
    model = compression.load("digits").network(8)
    dependency = ChannelDependency(model, (torch.rand(2, 1, 8, 8),))
    mask = torch.rand(dependency.num_groups, generator=torch.Generator().manual_seed(0)) < 0.7
    norms = dependency.norms()
    small = pruning.smallest(dependency, mask)
    other = pruning.shuffled(dependency, mask, torch.Generator().manual_seed(1))
    for home in dependency.home.unique():
        rows = dependency.home == home
        assert small[rows].sum() == other[rows].sum() == mask[rows].sum()
        assert norms[rows & small].min() >= norms[rows & ~small].max()
    assert not torch.equal(other, small)
