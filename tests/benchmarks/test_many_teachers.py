"""The protocols of many teachers: who sees what, what they compare, and that they run."""

import math

import pytest
import torch
from torch import nn

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.residual import ResidualNet
from benchmarks.protocols import customised_student, group_stack, inheritance_exploration

TRAIN = {"epochs": 1, "lr": 0.003, "monitor": None}


def test_sources_see_one_half_of_the_classes_and_a_few_of_the_other():
    y, rows = torch.arange(100) % 10, torch.arange(20, 100)
    for side in (0, 1):
        count = y[customised_student.one_sided(y, rows, few=2, side=side)].bincount()
        assert count.tolist() == ([8] * 5 + [2] * 5 if side == 0 else [2] * 5 + [8] * 5)
        assert set(customised_student.one_sided(y, rows, 2, side).tolist()) <= set(rows.tolist())


def test_averages_of_sources():
    x = torch.eye(4)
    nets = [nn.Linear(4, 3), nn.Linear(4, 3)]
    logits = [net(x) for net in nets]
    plain = customised_student.Averaged(nets, probabilities=False)(x)
    torch.testing.assert_close(plain, (logits[0] + logits[1]) / 2)
    mixed = customised_student.Averaged(nets, probabilities=True)(x)
    expected = (logits[0].softmax(1) + logits[1].softmax(1)) / 2
    torch.testing.assert_close(mixed.softmax(1), expected)
    torch.testing.assert_close(mixed.mean(1), torch.zeros(4), atol=1e-6, rtol=0)


def test_intervals_are_of_paired_differences():
    first, second = torch.tensor([1.0, 1, 0, 1]), torch.tensor([1.0, 0, 0, 1])
    found = inheritance_exploration.paired(first, second)
    assert found["gain"] == 0.25
    assert found["gain_high"] - 0.25 == pytest.approx(1.96 * 0.5 / math.sqrt(4))
    same = inheritance_exploration.paired(first, first)
    assert same["gain_low"] == same["gain_high"] == 0


def test_features_within_classes_have_no_class_mean():
    x, y = torch.randn(12, 2, 3), torch.arange(12) % 3
    found = inheritance_exploration.within(x, y)
    assert all(found[y == kind].mean(0).abs().max() < 1e-6 for kind in range(3))


def test_residual_networks_halve_the_image_twice():
    net = ResidualNet(4)
    x = torch.rand(2, 3, 28, 28)
    assert net.stages(net.stem(x)).shape == (2, 16, 7, 7)
    assert net(x).shape == (2, 10)


def test_exploration_runs_beside_its_parts():
    found = inheritance_exploration.run(
        {"name": "digits", "images": 30, "test": 40},
        seed=0,
        fit=Fitter(TRAIN, 0),
        teacher=2,
        student=3,
        factors=2,
        factor_epochs=1,
    )
    assert found["inherit_ratio"] == pytest.approx(found["inherit_ie"] / found["inherit_ce"])
    assert found["gain"] == pytest.approx(found["test_accuracy"] - found["ce"])
    assert {"gap_ie", "gap_ce", "explore_ratio", "probe_ce", "mass_explore", "kd"} <= set(found)


def test_composites_say_which_digits_are_there():
    parts = group_stack.load(count=400)
    (x, y), (other, _) = parts["train"], parts["test"]
    assert x.shape == (400, 1, 8, 16)
    assert set(y.unique().tolist()) == {0.0, 1.0}
    assert y.sum(1).max() == 2
    assert y.mean().item() == pytest.approx(1 - (1 - 0.85 / 6) ** 2, abs=0.03)
    empty = x[y.sum(1) == 0]
    assert empty.std().item() == pytest.approx(0.3, abs=0.05)
    assert not torch.equal(x, other)


def test_group_stack_runs_beside_its_rivals():
    found = group_stack.run(
        {"name": "digits", "count": 80},
        seed=0,
        fit=Fitter(TRAIN, 0),
        width=2,
        generator_steps=2,
        block_steps=2,
    )
    assert found["gain_prevalence"] == pytest.approx(found["map"] - found["prevalence"])
    for name in group_stack.RIVALS:
        assert found[f"gain_{name}"] == pytest.approx(found["map"] - found[f"map_{name}"])
    assert {"map_real", "map_student", "rate", "rank_edges"} <= set(found)


def test_made_images_are_standardised_and_grainy():
    made = nn.Sequential(*group_stack.groups(4, grain=0.5)).train()(5 * torch.randn(300, 32))
    assert made.shape == (300, 1, 8, 16)
    assert made.mean().item() == pytest.approx(0, abs=0.02)
    assert made.var().item() == pytest.approx(1.25, abs=0.03)
    twice = torch.zeros(1, 32).expand(300, 32)
    still = nn.Sequential(*group_stack.groups(4, grain=0.5)).eval()(twice)
    assert still.std(0).mean().item() == pytest.approx(0.5, abs=0.03)
