"""Results in files of their own: written whole, checked when read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from benchmarks.cli import app
from benchmarks.harness import recipe as recipes
from benchmarks.harness import records
from benchmarks.harness.errors import RecipeError
from benchmarks.harness.records import ResultError
from benchmarks.report import report


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of results with nothing in it."""
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    return tmp_path


def result() -> dict[str, Any]:
    return {
        "metrics": {
            "test_accuracy": {"mean": 0.5, "std": 0.1, "values": [0.4, 0.5, 0.1 + 0.5]},
            "t": {"mean": float("nan"), "std": 0},
        },
        "seeds": 3,
        "minutes": 0.25,
        "parameters": 10,
        "commit": "123456789012",
        "code": "1234567890123456",
        "settings": "12345e7890123456",
        "versions": {"torch": "2.13.0"},
        "processor": "one: of some, 1 threads",
    }


def test_what_is_written_is_read(folder: Path) -> None:
    assert records.read("gcn-karate") == {}
    path = records.write("gcn-karate", result())
    assert path == folder / "gcn-karate.yaml"
    back = records.read("gcn-karate")
    assert back.keys() == result().keys()
    assert {k: v for k, v in back.items() if k != "metrics"} == {
        k: v for k, v in result().items() if k != "metrics"
    }
    assert back["metrics"]["test_accuracy"] == result()["metrics"]["test_accuracy"]
    assert recipes.load("gcn-karate").reproduced["seeds"] == 3
    assert records.names() == ["gcn-karate"]


DAMAGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "missing": lambda kept: kept.pop("code"),
    "unknown key 'extra'": lambda kept: kept.update(extra=1),
    "'seeds' has the wrong type": lambda kept: kept.update(seeds="3"),
    "'parameters' has the wrong type": lambda kept: kept.update(parameters=True),
    "'seeds' must be positive": lambda kept: kept.update(seeds=0),
    "'mean' and 'std'": lambda kept: kept["metrics"]["t"].pop("std"),
    "a list of one for each seed, got ": lambda kept: kept.update(seeds=10**12),
    "'confirmed' has the wrong type": lambda kept: kept.update(confirmed=1),
    "a list of one for each seed": lambda kept: kept["metrics"]["test_accuracy"]["values"].pop(),
    "a list of one for each seed, got 3": lambda kept: kept["metrics"]["t"].update(values=3),
    r"numbers, got .*\[True, 1, 2\]": lambda kept: kept["metrics"]["t"].update(values=[True, 1, 2]),
    "must hold numbers": lambda kept: kept["metrics"]["t"].update(mean="high"),
}


@pytest.mark.parametrize("message", DAMAGES)
def test_a_damaged_result_is_refused_with_its_file(folder: Path, message: str) -> None:
    damaged = result()
    DAMAGES[message](damaged)
    path = records.write("gcn-karate", result())
    before = path.read_bytes()
    with pytest.raises(ResultError, match=message):
        records.write("gcn-karate", damaged)
    assert path.read_bytes() == before
    path.write_text(yaml.safe_dump(damaged))
    with pytest.raises(ResultError, match=message) as error:
        recipes.load("gcn-karate")
    assert str(path) in str(error.value)
    assert "--record" in str(error.value)


@pytest.mark.parametrize("text", ["metrics: [", "- 1", ""])
def test_a_file_that_is_no_result_is_refused(folder: Path, text: str) -> None:
    (folder / "gcn-karate.yaml").write_text(text)
    with pytest.raises(ResultError, match=r"gcn-karate\.yaml"):
        recipes.load("gcn-karate")


def test_a_result_without_a_recipe_fails_the_check(folder: Path) -> None:
    records.write("gcn-karat", result())
    records.write("zoo-graphs", result())
    with pytest.raises(ResultError, match=r"without a recipe: \S+gcn-karat\.yaml; "):
        report.report(check=True)
    done = CliRunner().invoke(app, ["report", "--check"])
    assert done.exit_code == 1
    assert "gcn-karat.yaml" in done.stderr


def test_results_in_a_recipe_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (recipes.FOLDER / "gcn-karate.yaml").read_text()
    monkeypatch.setattr(recipes, "FOLDER", tmp_path)
    (tmp_path / "gcn-karate.yaml").write_text(text + "reproduced: {seeds: 3}\n")
    with pytest.raises(RecipeError, match="belongs into"):
        recipes.load("gcn-karate")


def test_every_result_is_as_the_runner_writes_it() -> None:
    """By hand nothing was changed in them: written again they are the same, byte for byte."""
    assert len(records.names()) > 100
    assert set(records.names()) <= set(recipes.names())
    for name in records.names():
        assert records.path_of(name).read_text() == records.text_of(records.read(name)), name


def test_figures_are_confirmed_by_the_first_seed_to_its_last_digit(folder: Path) -> None:
    kept = result()
    del kept["metrics"]["t"]
    records.write("gcn-karate", kept)
    back = records.read("gcn-karate")
    assert records.confirms(back, {"test_accuracy": 0.4}, 3)
    assert not records.confirms(back, {"test_accuracy": 0.4 + 1e-16}, 3)
    assert not records.confirms(back, {"test_accuracy": 0.5}, 3)
    assert not records.confirms(back, {"test_accuracy": 0.4}, 2)
    assert not records.confirms(back, {"test_accuracy": 0.4, "val": 1.0}, 3)
    assert not records.confirms(back, {}, 3)
    assert not records.confirms({}, {}, 3)
    # Without the seeds' own values, and with what is no number, there is nothing to hold it to.
    assert not records.confirms(result(), {"test_accuracy": 0.4, "t": float("nan")}, 3)
    del kept["metrics"]["test_accuracy"]["values"]
    assert not records.confirms(kept, {"test_accuracy": 0.4}, 3)
