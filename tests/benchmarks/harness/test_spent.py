"""The time of a seed is that of all processes that ran it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness import recipe as recipes
from benchmarks.harness import spent, states
from benchmarks.harness.progress import Display
from benchmarks.harness.runner import Options, run_recipe
from benchmarks.harness.spent import SpentTime

RUN: Any = None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clock shows, to be set."""
    now = [100.0]
    monkeypatch.setattr(spent.time, "perf_counter", lambda: now[0])
    return now


def test_a_later_process_adds_to_what_was_written(tmp_path: Path, clock: list[float]) -> None:
    file = tmp_path / "seed-0.spent"
    first = SpentTime(file, resume=False, leads=True)
    clock[0] += spent.INTERVAL / 2
    first.on_epoch_end(RUN)
    assert not file.exists()
    clock[0] += 10
    first.on_epoch_end(RUN)
    assert states.read(file) == {"seconds": 12.5}
    clock[0] += 1
    first.on_epoch_end(RUN)
    assert states.read(file) == {"seconds": 12.5}
    clock[0] = 7.0
    later = SpentTime(file, resume=True, leads=True)
    clock[0] += 6
    assert later.seconds == 18.5
    later.on_epoch_end(RUN)
    assert states.read(file) == {"seconds": 18.5}
    assert SpentTime(file, resume=False, leads=True).seconds == 0
    later.done()
    assert not file.exists()
    later.done()


def test_one_of_several_processes_writes(tmp_path: Path, clock: list[float]) -> None:
    file = tmp_path / "seed-0.spent"
    other = SpentTime(file, resume=False, leads=False)
    clock[0] += 60
    other.on_epoch_end(RUN)
    assert not file.exists()
    file.touch()
    other.done()
    assert file.exists()


def test_a_run_counts_what_was_spent_before(tmp_path: Path, clock: list[float]) -> None:
    recipe = recipes.load("gcn-karate").set(["train.epochs=2"])
    file = tmp_path / "state" / recipe.name / "seed-0.spent"
    states.write(file, {"seconds": 5000.0})
    with Display(1, quiet=True) as display:
        result = run_recipe(recipe, Options(1, tmp_path, resume=True), display)
        assert result["seconds"] == 5000
        assert not file.exists()
        states.write(file, {"seconds": 5000.0})
        assert run_recipe(recipe, Options(1, tmp_path), display)["seconds"] == 0
    assert not file.exists()
