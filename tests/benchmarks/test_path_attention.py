"""SPAGAN's protocol: stages, the paired GAT, ablations without a first stage."""

from __future__ import annotations

import pytest

from benchmarks.harness.fitting import Fitter
from benchmarks.protocols import path_attention
from graphkit.train import Result

DATASET = {"name": "KarateClub", "split": "random", "train_per_class": 2, "val_per_class": 2}
TRAIN = {"epochs": 3, "lr": 0.01}


def run(rounds: int, **model: object) -> dict[str, float]:
    settings = {"name": "SPAGAN", "hidden_channels": 4, "heads": 2, **model}
    fit = Fitter(TRAIN, 0)
    return path_attention.run(DATASET, settings, seed=0, fit=fit, rounds=rounds)


@pytest.mark.parametrize("rounds", [1, 2])
def test_every_run_is_paired_with_its_first_stage(rounds: int) -> None:
    metrics = run(rounds)
    assert metrics["epochs"] == 3 * (rounds + 1)
    assert metrics["gain"] == metrics["test_accuracy"] - metrics["gat_test_accuracy"]
    assert metrics["collapsed"] == float(metrics["val_accuracy"] < path_attention.COLLAPSE)


def test_without_rounds_the_run_is_the_first_stage() -> None:
    assert run(0)["gain"] == 0.0


@pytest.mark.parametrize("costs", ["uniform", "random"])
def test_other_costs_need_no_first_stage(costs: str) -> None:
    metrics = run(1, costs=costs)
    assert metrics["epochs"] == 3
    assert "gat_test_accuracy" not in metrics


def test_the_first_stage_is_judged_at_its_lowest_validation_loss() -> None:
    history = [
        {"stage": 0, "val_loss": 2.0, "test_accuracy": 0.1},
        {"stage": 0, "val_loss": 1.0, "test_accuracy": 0.2},
        {"stage": 1, "val_loss": 0.5, "test_accuracy": 0.3},
    ]
    result = Result({}, 1, 3, 2, 0.0, history)
    assert path_attention.best_of_first_stage(result)["test_accuracy"] == 0.2
