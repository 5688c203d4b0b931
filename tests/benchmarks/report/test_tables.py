"""Tables of a method against its rivals."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness import recipe as recipes
from benchmarks.harness.missing import has_other_settings
from benchmarks.harness.runner import code_of, fingerprint
from benchmarks.report import tables
from benchmarks.report.batches import mini_batches
from benchmarks.report.best_known import REFERENCES, best_known
from benchmarks.report.paired import path_choice
from benchmarks.report.report import state
from benchmarks.report.tables import (
    TABLES,
    class_incremental,
    distillation,
    factors,
    skeleton_study,
    skeletons,
    strategies,
    sweep,
    transferability,
    welch,
)
from graphkit.datasets import DamagedDataError


def measured(name: str, metrics: dict[str, tuple[float, float]], seeds: int) -> Any:
    """A recipe as if it had been run with these means and deviations."""
    found = recipes.load(name)
    kept = {key: {"mean": mean, "std": std} for key, (mean, std) in metrics.items()}
    found.reproduced = {"metrics": kept, "seeds": seeds}
    return found


def test_what_was_not_recorded_is_left_out() -> None:
    recipe = recipes.load("twp-gat-computers")
    recipe.reproduced = {}
    for table in TABLES.values():
        assert len(table([recipe]).splitlines()) == 2


def test_strategies_stand_beside_the_published_row() -> None:
    ours = {"average_performance": (0.5, 0.01), "average_forgetting": (0.25, 0.02)}
    names = ("twp-gat-computers", "twp-gin-computers")
    row = strategies([measured(name, ours, 10) for name in names]).splitlines()[-1]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    found = "50.0 ± 1.0, 25.0 ± 2.0"
    assert cells == ["TWP", "97.3, 0.6", found, "–", found]


def test_a_test_that_says_nothing_is_a_dash() -> None:
    told: dict[str, tuple[float, float]] = {f"gates_0.{tenth}": (0.1, 0.0) for tenth in range(10)}
    for stem in ("ged", "c"):
        for rank in ("by_gate", "by_score", "random_gate", "single_graph"):
            told[f"{stem}_{rank}"] = (1.0, 0.0)
    told |= {"test_f1": (1.0, 0.0), "t_by_gate": (math.nan, math.nan), "t_by_score": (-3.0, 2.0)}
    row = factors([measured("factorgcn-synthetic2", told, 3)]).splitlines()[-1]
    assert [cell.strip() for cell in row.strip("|").split("|")][-3:-1] == ["–", "-3 ± 2"]


def test_distillation_gives_students_interval() -> None:
    recipe = recipes.load("distill-cora")
    stem = "converged_shallow"
    metrics = {
        f"{student}_{what}": (1000.0, 0.0)
        for student in ("deep", "shallow")
        for what in ("parameters", "ms")
    }
    metrics |= {f"{stem}_kd": (0.81, 0.01), f"gain_{stem}_kd": (0.02, 0.01)}
    rows = distillation([measured("distill-cora", metrics, 10)]).splitlines()
    assert len(rows) == 2 + 2 * len(recipe.sections["students"])
    half = 2.2622 * 0.01 / 10**0.5
    (row,) = (row for row in rows if "shallow, converged" in row)
    assert f"81.0 ± 1.0 ({100 * (0.02 - half):+.1f} … {100 * (0.02 + half):+.1f})" in row


def test_sweep_is_less_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    option = 'lsp {"weight": 10.0, "kernel": "rbf"}'
    runs = [{"labels {}": {"test": 0.5}, option: {"test": test}} for test in (0.52, 0.54)]
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    (tmp_path / "sweep-distill-cora-shallow.json").write_text(json.dumps(runs))
    rows = sweep([recipes.load("distill-cora")]).splitlines()
    assert rows[-1] == "| cora, 2 seeds | rbf | `convs.0` | +3.0 ± 1.4 |"
    assert rows[0].endswith("λ = 10 |")
    for wrong in (
        5,
        [{"labels {}": {"test": 1}, option: {}}],
        [{'lsp {"weight": "a"}': {"test": 1}}],
    ):
        (tmp_path / "sweep-distill-cora-shallow.json").write_text(json.dumps(wrong))
        with pytest.raises(DamagedDataError, match=r"sweep-distill-cora.*distillation_sweep"):
            sweep([recipes.load("distill-cora")])


def test_memory_that_was_not_measured_is_named(tmp_path: Path) -> None:
    file = tmp_path / "memory.json"
    for wrong in ([], {"megabytes": {"CS": 5}}, {"megabytes": {"CS": {"64": "a"}}}):
        file.write_text(json.dumps(wrong))
        with pytest.raises(DamagedDataError, match=r"memory\.json'.*batch_memory --record"):
            mini_batches([], file)


def test_skeletons_show_every_stream() -> None:
    streams = ("joint", "bone", "joint_motion", "bone_motion", "fusion2", "fusion")
    metrics = {f"{name}_accuracy": (0.9 + 0.01 * k, 0.01) for k, name in enumerate(streams)}
    found = measured("ctrgcn-authors-nw-ucla", metrics, 3)
    found.reproduced["parameters"] = 12_345
    row = skeletons([found]).splitlines()[-1]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:5] == ["nw-ucla", "CTRGCN", "authors'", "12,345", "3"]
    assert cells[5:] == [f"{90 + k}.0 ± 1.0" for k in range(6)]


def test_transferability_shows_intervals_and_regret() -> None:
    stem = {"rho": 0.5, "low": 0.25, "high": 0.75, "gain_low": -0.125, "gain_high": 0.375}
    stem |= {"regret": 0.02, "saved_low": 0.01, "saved_high": 0.03}
    metrics = {
        f"{kind}{part}_{name}": (value, 0.0)
        for kind in ("", "probe_")
        for part, value in stem.items()
        for name in ("depara", "popularity")
    }
    rows = transferability([measured("depara-gnn-zoo", metrics, 3)]).splitlines()
    cells = [cell.strip() for cell in rows[2].strip("|").split("|")]
    rho, lost = "0.50 [0.25, 0.75] (-0.12 … +0.38)", "2.0 (+1.0 … +3.0)"
    assert cells == ["gnn", "depara", rho, lost, rho, lost]
    assert [cell.strip() for cell in rows[3].split("|")][3:5] == ["0.50 [0.25, 0.75]", "2.0"]


@pytest.mark.parametrize("name", ["factors", "strategies", "distillation", "skeletons"])
def test_every_row_has_all_columns(name: str) -> None:
    rows = TABLES[name]([recipes.load(each) for each in recipes.names()]).splitlines()
    assert len({row.count("|") for row in rows}) == 1
    assert len(rows) > 2


def test_strategies_are_sorted_and_the_gain_is_over_the_best_that_keeps_no_data() -> None:
    figures = {"tpp": 0.9, "joint": 0.95, "ssm": 0.7, "ewc": 0.3}
    rest = {"average_forgetting": (0.1, 0.0), "told_average_performance": (0.9, 0.0)}
    recipes = [
        measured(f"cil-{name}-photo", {"average_performance": (mean, 0.02), **rest}, 5)
        for name, mean in figures.items()
    ]
    rows = class_incremental(recipes).splitlines()[2:]
    names = [row.split("|")[2].strip() for row in rows]
    assert names == ["JointTrain", "TPP", "SSM", "EWC"]
    # Equal deviations and sizes: Student's interval with 8 degrees of freedom.
    half = 2.306 * (2 * 0.02**2 / 5) ** 0.5
    assert f"{100 * (0.2 - half):+.1f} … {100 * (0.2 + half):+.1f} over SSM" in rows[1]
    assert sum("over" in row for row in rows) == 1


@pytest.mark.parametrize("lone", ["tpp", "ssm"])
def test_of_one_seed_there_is_no_interval(lone: str) -> None:
    figures = dict.fromkeys(("average_forgetting", "told_average_performance"), (0.5, 0.0))
    runs = [
        measured(
            f"cil-{name}-photo",
            {"average_performance": (0.9 if name == "tpp" else 0.7, 0.0), **figures},
            1 if name == lone else 5,
        )
        for name in ("tpp", "ssm")
    ]
    rows = class_incremental(runs).splitlines()[2:]
    assert [row.split("|")[2].strip() for row in rows] == ["TPP", "SSM"]
    assert not any("over" in row for row in rows)


def test_intervals_of_unequal_deviations_are_those_of_scipy() -> None:
    from scipy.stats import ttest_ind_from_stats

    one = measured("cil-tpp-photo", {"average_performance": (0.9, 0.01)}, 5)
    other = measured("cil-ssm-photo", {"average_performance": (0.7, 0.05)}, 3)
    low, high = welch(one, other, "average_performance")
    # The interval just touches the difference at which the test's p is 5 %.
    for shift in (low, high):
        p = ttest_ind_from_stats(0.9 - shift, 0.01, 5, 0.7, 0.05, 3, equal_var=False).pvalue
        assert abs(p - 0.05) < 1e-9


def test_the_best_known_figure_stands_beside_runs_on_its_own_split_only() -> None:
    cora = measured("gat-cora", {"test_accuracy": (0.83, 0.01)}, 5)
    assert "83.0 ± 1.0, `gat-cora`" in best_known([cora])
    assert "83.1 ± 0.4, PyG" in best_known([cora])
    cora.sections["dataset"]["split"] = "random"
    assert len(best_known([cora]).splitlines()) == 2
    held = measured("stigcn-nw-ucla-held-view", {"fusion_accuracy": (0.99, 0.01)}, 2)
    assert len(best_known([held]).splitlines()) == 2
    for reference in REFERENCES:
        assert 0.5 < reference.mean < 1
        assert re.search(r"arXiv:\d{4}\.\d{5}|doi:", reference.source)


def test_paths_stand_beside_the_edges_alone() -> None:
    names = list(recipes.load("paths-cora").sections["candidates"])
    metrics = {f"gain_{name}": (0.01, 0.02) for name in names}
    metrics |= {"gain": (-0.01, 0.0), "free_gain": (0.0, 0.0), "kept_edges": (0.75, 0.4)}
    metrics |= {"gat_test_accuracy": (0.83, 0.005)}
    photo = measured("paths-photo", metrics, 20)
    row, fewer = path_choice([measured("paths-cora", metrics, 20), photo]).splitlines()[2:]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    half = 2.0930 * 0.02 / 20**0.5
    gain = f"+1.0 ({100 * (0.01 - half):+.1f} … {100 * (0.01 + half):+.1f})"
    chosen = ["-1.0 (-1.0 … -1.0)", "+0.0 (+0.0 … +0.0)", "75 %"]
    assert cells == ["Cora", "20", "83.0 ± 0.5", *[gain] * len(names), *chosen]
    assert set(photo.sections["candidates"]) < set(names)
    assert fewer.count(gain) == len(photo.sections["candidates"])
    assert fewer.count(" – ") == len(names) - fewer.count(gain)


def test_a_study_of_skeletons_says_what_a_setting_costs() -> None:
    study = measured("stigcn-nw-ucla", {}, 2).set(["dataset.held={subject: [8, 9]}"])
    accuracies = {"joint_accuracy": (0.7, 0.01), "fusion_accuracy": (0.8, 0.02)}
    study.reproduced = {
        "metrics": {name: {"mean": mean, "std": std} for name, (mean, std) in accuracies.items()},
        "seeds": 2,
        "minutes": 5.0,
        "parameters": 69354,
    }
    row = skeleton_study([study, recipes.load("stigcn-nw-ucla")]).splitlines()[-1]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    settings = ["subject 8, 9", "24", "16", "0", "0.1", "25"]
    assert cells == [*settings, "69,354", "2.5", "2", "70.0 ± 1.0", "80.0 ± 2.0"]


def test_figures_of_other_settings_are_named_as_such() -> None:
    recipe = measured("gat-cora", {"test_accuracy": (0.8, 0.01)}, 3)
    recipe.reproduced |= {"minutes": 1.0, "code": code_of(recipe), "settings": fingerprint(recipe)}
    assert not has_other_settings(recipe)
    assert "other settings" not in state(recipe)
    recipe.sections["model"]["heads"] = 4
    assert has_other_settings(recipe)
    assert state(recipe).endswith("**stale**: of other settings than the recipe's")
