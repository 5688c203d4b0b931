"""Tables of a method against its rivals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness import recipe as recipes
from benchmarks.report import tables
from benchmarks.report.tables import (
    TABLES,
    distillation,
    skeletons,
    strategies,
    sweep,
    transferability,
)


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
