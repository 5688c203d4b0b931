"""The protocols of transform invariance, mixing and restyling."""

from __future__ import annotations

import pytest
import torch

from benchmarks.harness.fitting import Fitter
from benchmarks.protocols import transform_invariance
from graphkit.vision import RandomTransform2d


def test_arms_of_transform_invariance_differ_by_the_layer_alone():
    layer = {"angle": 40.0, "scale": 0.2, "shift": 0.1, "p": 0.5}
    plain = transform_invariance.network("plain", layer)
    for arm, place in (("input", 0), ("conv1", 2), ("batch", 2), ("conv2", 6)):
        model = transform_invariance.network(arm, layer)
        model.load_state_dict(plain.state_dict())
        moving = [n for n, m in enumerate(model) if isinstance(m, RandomTransform2d)]
        assert moving == [place]
        assert model[place].per_sample == (arm != "batch")
        x = torch.rand(3, 1, 16, 16)
        assert torch.equal(model.eval()(x), plain(x))
        assert not torch.equal(model.train()(x.repeat(9, 1, 1, 1)), plain(x.repeat(9, 1, 1, 1)))


def test_transform_invariance_reports_gains_over_the_plain_network():
    fit = Fitter({"epochs": 1, "lr": 0.002, "monitor": None}, seed=0)
    dataset = {"name": "digits", "train": 256, "test": 100}
    found = transform_invariance.run(dataset, seed=0, fit=fit, arms=("plain", "conv1"))
    again = transform_invariance.run(dataset, seed=0, fit=fit, arms=("plain", "conv1"), p=0.0)
    assert found["gain_all"] == pytest.approx(found["all_conv1"] - found["all_plain"])
    assert again["gain_all"] == 0
    assert again["energy_ratio"] == 1
    assert again["all_plain"] == found["all_plain"]
    data = transform_invariance.load("digits", test=100)
    assert torch.allclose(data["tests"]["clean"].amax((2, 3)), torch.ones(100, 1) * 1.0, atol=0.3)
    assert not torch.allclose(data["tests"]["turned"], data["tests"]["clean"], atol=0.1)
