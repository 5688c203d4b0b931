"""The choice among paths: pairs by seed, what validation chooses, what a step sees."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch_geometric.data import Data

from benchmarks.harness.errors import RecipeError
from benchmarks.harness.fitting import Fitter
from benchmarks.protocols import path_attention, path_choice

DATASET = {"name": "KarateClub", "split": "random", "train_per_class": 2, "val_per_class": 2}
TRAIN = {"epochs": 5, "lr": 0.01}
MODEL = {"name": "SPAGAN", "hidden_channels": 4, "heads": 2}
CANDIDATES: dict[str, dict[str, Any]] = {
    "three": {"lengths": [2, 3]},
    "four": {"lengths": [2, 3, 4]},
    "drawn": {"lengths": [2, 3], "ratio": 1.0, "keep": 0.5},
}


def run(candidates: dict[str, dict[str, Any]]) -> dict[str, float]:
    return path_choice.run(DATASET, MODEL, candidates, seed=0, fit=Fitter(TRAIN, 0))


def test_every_candidate_stands_beside_the_network_of_its_paths() -> None:
    metrics = run(CANDIDATES)
    assert sum(metrics[f"chose_{name}"] for name in CANDIDATES) == 1
    (best,) = (name for name in CANDIDATES if metrics[f"chose_{name}"])
    assert metrics["gain"] == metrics[f"gain_{best}"]
    assert metrics["test_accuracy"] == metrics["gat_test_accuracy"] + metrics["gain"]
    assert metrics["free_gain"] == (0.0 if metrics["kept_edges"] else metrics["gain"])


def test_validation_chooses_and_may_keep_the_edges() -> None:
    base = {"test_accuracy": 0.8, "val_loss": 0.5}
    tests, losses = {"three": 0.9, "four": 0.7}, {"three": 0.6, "four": 0.55}
    found = path_choice.summary(base, tests, losses)
    assert (found["chose_four"], found["kept_edges"], found["free_gain"]) == (1.0, 1.0, 0.0)
    assert found["gain"] == pytest.approx(-0.1)
    found = path_choice.summary({**base, "val_loss": 0.58}, tests, losses)
    assert found["kept_edges"] == 0.0
    assert found["free_gain"] == found["gain"] == found["gain_four"]


def test_the_first_stage_is_that_of_the_other_protocol() -> None:
    other = path_attention.run(DATASET, MODEL, seed=0, fit=Fitter(TRAIN, 0))
    assert run({"three": {"lengths": [2, 3]}})["gat_test_accuracy"] == other["gat_test_accuracy"]


def test_candidates_do_not_touch_one_another() -> None:
    alone = run({"four": CANDIDATES["four"]})
    assert run(CANDIDATES)["gain_four"] == alone["gain_four"]


def test_steps_see_a_share_of_the_paths_and_evaluation_all() -> None:
    seen: list[int] = []

    class Model(torch.nn.Module):
        paths = {3: torch.arange(3000).view(1000, 3)}

        def forward(self, x: Any, edge_index: Any, paths: Any = None) -> torch.Tensor:
            seen.append(len((paths or self.paths)[3]))
            return x

    data, model = Data(x=torch.ones(1, 1), edge_index=torch.zeros(2, 0)), Model()
    torch.manual_seed(0)
    for _ in range(2):
        path_choice.Resampled(0.3)(model, data)
    path_choice.Resampled(0.3)(model.eval(), data)
    assert seen[0] != seen[1]
    assert all(250 < count < 350 for count in seen[:2])
    assert seen[2] == 1000


@pytest.mark.parametrize("candidates", [{}, {"none": {"lengths": [2, 3], "keep": 0.0}}])
def test_what_is_no_candidate_is_refused(candidates: dict[str, dict[str, Any]]) -> None:
    with pytest.raises(RecipeError, match="'candidates'"):
        run(candidates)
