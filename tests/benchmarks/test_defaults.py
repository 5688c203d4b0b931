"""Losses and models as they come beside doing nothing, on the smallest graph there is."""

import pytest

from benchmarks.harness.fitting import Fitter
from benchmarks.harness.recipe import expand, load
from benchmarks.protocols import default_losses, default_models

DATASET = {"name": "KarateClub", "split": "random", "train_per_class": 2, "val_per_class": 1}
TRAIN = {"epochs": 2, "lr": 0.01}


def test_every_loss_is_compared_with_labels_alone() -> None:
    metrics = default_losses.run(DATASET, seed=0, fit=Fitter(TRAIN, 0), hidden=4, teacher_hidden=8)
    gains = {name: value for name, value in metrics.items() if name.startswith("gain_")}
    assert set(gains) == {f"gain_{kind.__name__}" for kind in default_losses.TRIED}
    assert metrics["worst_gain"] == min(gains.values())


def test_every_model_is_compared_with_the_plain_one() -> None:
    metrics = default_models.run(DATASET, seed=0, fit=Fitter(TRAIN, 0), hidden=8, heads=2)
    gains = {name: value for name, value in metrics.items() if name.startswith("gain_")}
    assert set(gains) == {f"gain_{name}" for name in default_models.TRIED}
    assert metrics["worst_gain"] == min(gains.values())


def test_a_swap_that_changes_nothing_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(default_models, "SWAPPED", {"nothing": dict})
    metrics = default_models.run(DATASET, seed=0, fit=Fitter(TRAIN, 0), hidden=8, heads=2)
    assert metrics["gain_nothing"] == 0


def test_one_word_runs_strategies_losses_and_models_on_data_that_chose_nothing() -> None:
    names = expand(["defaults"])
    assert {load(name).protocol for name in names} == {
        "default_strategies",
        "default_losses",
        "default_models",
    }
    assert len({load(name).dataset for name in names}) >= 4
    assert not {load(name).dataset for name in names} & {"Cora", "digits", "Computers"}
