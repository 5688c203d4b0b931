"""The distillation protocol: paired arms, every kind of data, honest bookkeeping."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.harness import recipe
from benchmarks.harness.fitting import Fitter
from benchmarks.protocols import distillation
from benchmarks.speed import distill as speed
from benchmarks.studies import distillation_sweep
from graphkit.datasets import find_card
from tests.datasets.files import write_ppi

# Weights are as large as these tests need them.
pytestmark = pytest.mark.filterwarnings("ignore::graphkit.lopsided.LopsidedWarning")

QUICK = {"epochs": 3, "lr": 0.01}


def sections(name: str) -> dict[str, Any]:
    """A recipe's sections, shrunk to seconds."""
    found = {**recipe.load(name).sections, "train": QUICK}
    for network in (found["teacher"], *found["students"].values()):
        network.pop("train", None)
        if "emb_channels" not in network:
            network["hidden_channels"] = 8
    return found


def run(found: dict[str, Any], **changes: Any) -> dict[str, float]:
    found = {**found, **changes}
    train = found.pop("train")
    return distillation.run(**found, seed=0, fit=Fitter(train, 0))


def test_an_arm_of_weight_zero_is_labels_only() -> None:
    arms = {"lsp": {"weight": 0.0}, "kd": {"weight": 0.0}, "at": {"weight": 300.0}}
    found = run(sections("distill-digits"), arms=arms, budgets={"paper": {"epochs": 5}})
    for size in ("deep", "shallow"):
        for arm in ("lsp", "kd"):
            assert found[f"paper_{size}_{arm}"] == found[f"paper_{size}_labels"]
            assert found[f"gain_paper_{size}_{arm}"] == 0.0
    assert found["val_paper_shallow_at"] != found["val_paper_shallow_labels"]
    assert found["shallow_parameters"] < found["deep_parameters"]
    assert found["teacher_ms"] > 0


def test_every_arm_on_the_smallest_problem() -> None:
    found = run(sections("distill-digits"), budgets={"converged": {}}, arms=None)
    for arm in distillation.ARMS:
        gain = found[f"converged_shallow_{arm}"] - found["converged_shallow_labels"]
        assert found[f"gain_converged_shallow_{arm}"] == pytest.approx(gain)
    assert found[distillation.MAIN] == found["gain_converged_shallow_lsp"]


def test_ppi_in_the_published_format(data_folder: Path) -> None:
    write_ppi(data_folder)
    arms = {"kd": {}, "lsp": {"epochs": 1}}
    found = run(sections("distill-ppi"), arms=arms, budgets={"paper": {}})
    assert 0 <= found["paper_deep_lsp"] <= 1
    assert 0 <= found["teacher"] <= 1


def test_sizes_of_the_ppi_networks_are_near_the_papers() -> None:
    problem = distillation.load("digits", "random", False, 5, 10)
    problem = replace(problem, in_channels=50, out_channels=121)
    chosen = recipe.load("distill-ppi").sections
    for network, size in ((chosen["teacher"], 3.64e6), (chosen["students"]["deep"], 0.16e6)):
        rest = {k: v for k, v in network.items() if k not in ("pair", "train")}
        parameters = sum(p.numel() for p in problem.network(**rest).parameters())
        assert parameters == pytest.approx(size, rel=0.25)


def test_point_sets_look_at_the_test_part_once(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = replace(find_card("ModelNet10Points"), checked=False)
    monkeypatch.setattr("graphkit.datasets.store.loading.find_card", lambda _: card)
    generator = np.random.default_rng(0)
    voxels = (generator.random((60, 30, 30, 30)) < 0.01).astype(np.int32)
    labels = np.arange(60) % 3
    (data_folder / "ModelNet10").mkdir(parents=True)
    names = ("X_train", "y_train", "X_test", "y_test")
    arrays = dict(zip(names, (voxels, labels, voxels[:40], labels[:40]), strict=True))
    np.savez(data_folder / "ModelNet10" / "modelnet10.npz", **arrays)
    found = sections("distill-modelnet10")
    dataset = {**found["dataset"], "num_points": 24, "shapes": 30, "batch_size": 8}
    problem = distillation.load(**dataset)
    assert len(problem.task.parts["train"]) + len(problem.task.parts["val"]) == 30
    assert problem.task.parts["test"] == []
    result = run(found, dataset=dataset, arms={"lsp": {}, "kd": {}})
    assert 0 <= result["paper_shallow_lsp"] <= 1


@pytest.mark.data
@pytest.mark.usefixtures("data_root")
def test_graphs_take_a_fold_per_seed() -> None:
    parts = [distillation.load("ENZYMES", seed=seed).task.parts for seed in (0, 1, 10)]
    assert [len(part) for part in parts[0].values()] == [480, 60, 60]
    tests = [[graph.num_nodes for graph in part["test"]] for part in parts]
    assert tests[0] == tests[2] != tests[1]


def test_unknown_network_is_named() -> None:
    problem = distillation.load("digits", "random", False, 5, 10)
    with pytest.raises(ValueError, match=r"'GCNN'.*GCN"):
        problem.network("GCNN")


def test_the_sweep_marks_the_best_on_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = replace(recipe.load("distill-digits"), sections=sections("distill-digits"))
    monkeypatch.setattr(recipe, "load", lambda _: small)
    words = ["sweep", "distill-digits", "--seeds", "1", "--arms", "kd", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    distillation_sweep.main()
    (scores,) = json.loads((tmp_path / "sweep-distill-digits-shallow.json").read_text())
    best = max(scores, key=lambda name: scores[name]["val"])
    marked = [line for line in capsys.readouterr().out.splitlines() if line.startswith("*")]
    assert len(scores) == len(distillation_sweep.GRID["kd"])
    assert marked[0].endswith(best)


def test_speed_rows_compare_equal_results() -> None:
    for row in speed.rows(quick=True):
        assert row["value_error"] < 1e-4, row
        assert row["gradient_error"] < 1e-4, row
