"""The continual protocol: equal to a hand-written loop, resumable, and shared among processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks.harness import recipe as recipes
from benchmarks.harness.fitting import Fitter
from benchmarks.problems import class_streams
from benchmarks.problems.streams import STRATEGIES
from benchmarks.protocols import continual, default_strategies
from benchmarks.rivals.nodes import build
from benchmarks.studies.continual.cost import ARMS, measure
from benchmarks.studies.continual.sweep import combinations, main
from graphkit.continual import TWP, FineTune
from graphkit.testing import TaskSuite
from graphkit.train import seed_everything

DATASET = {
    "name": "KarateClub",
    "classes_per_task": 2,
    "visible": "task",
    "train_per_class": 2,
    "val_per_class": 0,
}
MODEL = {"name": "GCN", "hidden_channels": 8, "dropout": 0.5}
TRAIN = {"epochs": 5, "lr": 0.05, "monitor": None}
STRATEGY = {"name": "TWP", "task_weight": 10.0, "topology_weight": 1e-3}


def run(strategy: dict[str, object], **kwargs: object) -> dict[str, float]:
    fit = Fitter(TRAIN, 0, **kwargs)
    return continual.run(DATASET, MODEL, strategy, seed=0, fit=fit)


def test_the_protocol_is_a_plain_loop() -> None:
    tasks = class_streams.load(**DATASET)
    seed_everything(0)
    model = build(MODEL, tasks[0].data.num_features, tasks.num_classes)
    twp, rows = TWP(model, 10.0, 1e-3), []
    for task in tasks:
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        seed_everything(0)
        model.train()
        for _ in range(5):
            optimizer.zero_grad()
            loss = task.loss(model)
            (loss + twp.penalty(loss)).backward()
            optimizer.step()
        twp.finish_task(task.losses)
        rows.append(tasks.evaluate(model, task.number))
    expected = torch.stack(rows)[-1].mean().item()
    assert run(STRATEGY)["average_performance"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_gives_all_metrics(name: str) -> None:
    metrics = run({"name": name})
    assert 0 <= metrics["average_performance"] <= 1
    assert -1 <= metrics["average_forgetting"] <= 1
    assert metrics["backward_transfer"] == -metrics["average_forgetting"]
    assert metrics["forgetting_from_best"] >= metrics["average_forgetting"]


def test_defaults_stand_beside_doing_nothing_on_the_same_draws() -> None:
    metrics = default_strategies.run(DATASET, MODEL, seed=0, fit=Fitter(TRAIN, 0))
    for name in default_strategies.TRIED:
        alone = run({"name": name})["average_performance"]
        baseline = run({"name": "FineTune"})["average_performance"]
        assert metrics["baseline"] == pytest.approx(baseline)
        assert metrics[f"gain_{name}"] == pytest.approx(alone - baseline)
    gains = [metrics[f"gain_{name}"] for name in default_strategies.TRIED]
    assert metrics["worst_gain"] == min(gains)


def test_a_resumed_stream_ends_where_the_whole_one_does(tmp_path: Path) -> None:
    whole = run(STRATEGY, folder=tmp_path)
    assert len(list(tmp_path.glob("task-*.pt"))) == 2
    (tmp_path / "task-1.pt").unlink()
    assert run(STRATEGY, folder=tmp_path, resume=True) == whole


class TestLearnTask(TaskSuite):
    world_sizes = (2, 3, 50)

    def make(self):
        task = class_streams.load(**DATASET)[0]
        return class_streams.LearnTask(task, FineTune(build(MODEL, task.data.num_features, 4)))

    def make_model(self):
        return build(MODEL, class_streams.load(**DATASET)[0].data.num_features, 4)


def test_wrong_settings_are_refused_with_a_hint() -> None:
    with pytest.raises(recipes.RecipeError, match="did you mean 'TWP'"):
        run({"name": "TWPP"})
    with pytest.raises(recipes.RecipeError, match="'task_weight'"):
        run({"name": "TWP", "task_wight": 1.0})


def test_all_continual_recipes_are_valid_and_named_by_the_rule() -> None:
    strategies = {"twp", "ewc", "mas", "gem", "lwf", "finetune", "joint"}
    found = [recipes.load(name) for name in recipes.names()]
    found = [recipe for recipe in found if recipe.protocol == "continual"]
    found = [recipe for recipe in found if not recipe.name.startswith("tour-")]
    assert found
    for recipe in found:
        strategy, backbone, _ = recipe.name.split("-", 2)
        assert strategy in strategies
        assert backbone in {"gcn", "gat", "gin", "graphsage"}
        assert recipe.sections["strategy"]["name"] in STRATEGIES


def test_a_sweep_runs_every_combination(tmp_path: Path) -> None:
    ranges = ["strategy.beta=0,1e-4", "train.epochs=1,2"]
    assert list(combinations(ranges))[1] == ["strategy.beta=0", "train.epochs=2"]
    main(["twp-gat-digits", *ranges, "--out", str(tmp_path)])
    rows = json.loads((tmp_path / "sweep.json").read_text())
    assert len(rows) == 4
    assert all(0 <= row["metrics"]["average_performance"]["mean"] <= 1 for row in rows)
    with pytest.raises(recipes.RecipeError, match="key=value"):
        list(combinations(["strategy.beta"]))


def test_the_cost_of_a_step_is_taken_arm_by_arm() -> None:
    task = class_streams.load(**DATASET)[0]
    seconds = measure(task, MODEL, turns=2)
    assert {arm: len(times) for arm, times in seconds.items()} == dict.fromkeys(ARMS, 2)
