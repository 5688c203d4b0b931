"""The protocols of causal methods: what they compare, and that they run."""

import pytest
import torch
from torch_geometric.datasets import FakeDataset
from torch_geometric.transforms import RandomNodeSplit

from benchmarks.harness.fitting import Fitter
from benchmarks.protocols import causal_adv, causal_adv_nodes
from graphkit.vision import CausalAdv

TRAIN = {"epochs": 1, "lr": 0.003, "monitor": None}


def test_images_beside_natural_training_and_madry():
    found = causal_adv.run(
        {"name": "digits", "train": 60, "test": 40},
        seed=0,
        fit=Fitter(TRAIN, 0),
        channels=16,
        steps=1,
        test_steps=2,
        warm=1,
        arms=("natural", "madry", "causal", "causal_t"),
    )
    assert found["pgd_accuracy"] == found["pgd_causal"]
    assert found["over_madry"] == pytest.approx(found["pgd_causal"] - found["pgd_madry"])
    assert found["orthogonal"] < 1e-5
    for arm in ("natural", "madry", "causal", "causal_t"):
        assert 0 <= found[f"all_{arm}"] <= found[f"pgd_{arm}"] <= 1
    assert {"style_adversarial_causal", "content_natural_madry"} <= set(found)


def test_content_and_style_are_measured_apart():
    model = CausalAdv(torch.nn.Identity(), 6, 2, bounds=None)
    model.moments.update(torch.randn(50, 6))
    model.refresh()
    assert causal_adv.correlation(model) < 1e-5
    model.basis.copy_(torch.eye(6))
    assert causal_adv.correlation(model) > 0.1


def test_other_images_are_refused():
    with pytest.raises(ValueError, match="'cifar10'"):
        causal_adv.load("cifar10")


def test_nodes_beside_natural_training_and_madry(monkeypatch):
    torch.manual_seed(0)
    data = RandomNodeSplit("random", num_train_per_class=5, num_val=10, num_test=20)(
        FakeDataset(1, 60, 4.0, 12, num_classes=3)[0]
    )
    data.x = data.x.sigmoid()
    monkeypatch.setattr(causal_adv_nodes.nodes, "load", lambda *_, **__: data)
    train = TRAIN | {"epochs": 2, "monitor": "val_accuracy"}
    found = causal_adv_nodes.run(
        {"name": "made-up"},
        seed=0,
        fit=Fitter(train, 0),
        hidden_channels=8,
        channels=6,
        steps=1,
        test_steps=2,
        arms=("natural", "madry", "causal"),
    )
    assert found["over_natural"] == pytest.approx(found["pgd_causal"] - found["pgd_natural"])
    assert all(0 <= value <= 1 for name, value in found.items() if name.startswith("all_"))
    attacked = causal_adv_nodes.validation_attack(
        CausalAdv(causal_adv_nodes.Features(data.num_features, 8, 6, 0.5), 6, 3),
        data,
        torch.arange(5),
        0.01,
    )
    assert 0 < (attacked - data.x).abs().max() <= 0.01 + 1e-6
