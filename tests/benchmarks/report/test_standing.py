"""What waits for a run, and what for data."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchmarks.harness import missing
from benchmarks.harness import recipe as recipes
from benchmarks.report.standing import standing, waiting


def named(name: str, ran: bool) -> recipes.Recipe:
    """A recipe that was run, or not."""
    recipe = recipes.load(name)
    result = {"seeds": 1, "minutes": 1.0, "code": "-", "settings": "-", "metrics": {}}
    return dataclasses.replace(recipe, reproduced=result if ran else {})


def test_what_is_stale_ready_or_without_data_is_told_apart(data_folder: Path) -> None:
    parts = (("gcn-karate", False), ("gcn-cora", False), ("factorgcn-zinc", False))
    told = standing([named(*part) for part in (("gat-karate", True), *parts)]).splitlines()
    assert told[0] == "1 of 4 recipes have figures."
    assert told[1] == "Stale (1): gat-karate"
    assert told[2].endswith(": gcn-karate")
    assert "run all --missing" in told[3]
    assert told[4].startswith("No data here, Cora (gcn-cora); to get it: ")
    # A card that the protocol brings along counts, too.
    assert told[5].startswith("No data here, ZINC (factorgcn-zinc); to get it: unpack")
    assert len(told) == 6


def test_what_is_too_long_is_told_with_its_hours(data_folder: Path) -> None:
    long = dataclasses.replace(named("gcn-karate", False), hours_a_seed=72.6)
    told = standing([named("gat-karate", False), long]).splitlines()
    assert told[1] == "Not run, data not known to be missing (1): gat-karate"
    assert told[3] == "Too long for this machine, hours a seed on one core (1): gcn-karate 72.6"
    assert "`gcn-karate` (72.6 h a seed) |" in waiting([long])
    # Once it was run, it is like any other.
    ran = dataclasses.replace(named("gat-karate", True), hours_a_seed=72.6)
    assert standing([ran]).splitlines()[1] == "Stale (1): gat-karate"


def test_where_all_is_done_there_is_nothing_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missing, "code_of", lambda recipe: "-")
    monkeypatch.setattr(missing, "fingerprint", lambda recipe: "-")
    done = named("gat-karate", True)
    assert standing([dataclasses.replace(done, seeds=1)]) == "1 of 1 recipes have figures."
    assert "Stale (1): gat-karate" in standing([dataclasses.replace(done, seeds=2)])


def test_the_page_lists_recipes_without_figures_by_data_set() -> None:
    names = ("gcn-cora", "gat-cora", "depara-taskonomy")
    rows = waiting([named("gcn-karate", True), *(named(name, False) for name in names)])
    assert [row.split(" | ")[0] for row in rows.splitlines()[2:]] == ["| Cora", "| taskonomy"]
    assert "`gat-cora`, `gcn-cora` |" in rows
    assert "karate" not in rows
