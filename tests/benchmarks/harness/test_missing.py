"""``--missing`` runs what has no figures or stale ones, cheapest first, where the data are."""

from __future__ import annotations

import dataclasses
import json
import pickle
import queue
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.cli import app
from benchmarks.harness import missing, records, side_by_side
from benchmarks.harness import recipe as recipes
from benchmarks.harness.missing import expected_minutes, outstanding, want_of_data
from benchmarks.harness.runner import Options, code_of, fingerprint
from graphkit.datasets import MissingDataError

RESULT: dict[str, Any] = {
    "metrics": {"test_accuracy": {"mean": 0.5, "std": 0.0}},
    "seeds": 2,
    "minutes": 3.0,
    "parameters": 1,
    "commit": "-",
    "code": "-",
    "settings": "-",
    "versions": {},
    "processor": "-",
}


def recorded(name: str, fresh: bool) -> None:
    """Keeps figures of a recipe, of this code or of other code."""
    recipe = recipes.load(name)
    mark = {"code": code_of(recipe), "settings": fingerprint(recipe)} if fresh else {}
    records.write(name, RESULT | mark)


def run(out: Path, *words: str) -> Any:
    words = ("gcn-karate", "gat-karate", "gcn-cora", "--seeds", "1", *words)
    return CliRunner().invoke(app, ["run", *words, "--missing", "--out", str(out)])


def test_only_what_is_wanting_is_run_and_then_nothing(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "FOLDER", tmp_path / "results")
    records.FOLDER.mkdir()
    recorded("gcn-karate", fresh=True)
    recorded("gat-karate", fresh=False)
    done = run(tmp_path / "runs", "--record", "--resume")
    assert done.exit_code == 0, done.stderr
    assert "gat-karate  seed 0" in done.stderr
    assert "gcn-karate" not in done.stderr
    assert "no data here for 1 recipes: gcn-cora" in done.stdout
    assert "ind.cora.allx" in done.stdout
    assert not data_folder.exists()
    assert records.read("gcn-karate")["minutes"] == 3
    assert records.read("gat-karate")["code"] == code_of(recipes.load("gat-karate"))
    again = run(tmp_path / "runs", "--record", "--resume")
    assert again.exit_code == 0
    assert "seed" not in again.stderr
    assert "no data here" in again.stdout
    assert "nothing was run" in again.stdout
    assert json.loads((tmp_path / "runs" / "results.json").read_text()) == {"results": []}
    assert records.read("gat-karate")["seeds"] == 1


def test_a_run_that_finds_no_data_is_left_out_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data_folder: Path
) -> None:
    """Where no card says so beforehand, the run does."""
    monkeypatch.setattr(records, "FOLDER", tmp_path / "results")
    monkeypatch.setattr(missing, "want_of_data", lambda recipe: "")
    done = run(tmp_path / "runs", "--jobs", "1")
    assert done.exit_code == 0, done.stderr
    assert "no data here for 1 recipes: gcn-cora" in done.stdout
    finished = (tmp_path / "runs").glob("state/*/seed-0.json")
    assert {path.parent.name for path in finished} == {"gcn-karate", "gat-karate"}
    # So it is in a process of its own, where the error comes back as what the work gave.
    options = Options(1, tmp_path / "work", missing=True)
    monkeypatch.setattr(side_by_side.RemoteDisplay, "messages", queue.Queue())
    given = side_by_side.work(recipes.load("gcn-cora"), options)
    assert isinstance(given, MissingDataError)
    # Without --missing it is an error, as ever.
    alone = CliRunner().invoke(app, ["run", "gcn-cora", "--out", str(tmp_path / "alone")])
    assert alone.exit_code == 1
    assert "ind.cora.allx" in alone.stderr


def test_what_other_code_left_is_begun_afresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "FOLDER", tmp_path / "results")
    words = ["run", "gcn-karate", "--seeds", "1", "--resume", "--out", str(tmp_path / "runs")]
    assert CliRunner().invoke(app, [*words, "--set", "train.epochs=2"]).exit_code == 0
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 1
    assert "other settings" in refused.stderr
    done = CliRunner().invoke(app, [*words, "--missing"])
    assert done.exit_code == 0, done.stderr
    assert "gcn-karate  seed 0" in done.stderr


def test_figures_stay_where_other_code_gives_the_first_seed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "FOLDER", tmp_path / "results")
    records.FOLDER.mkdir()
    words = ["run", "gcn-karate", "--seeds", "3", "--record"]

    def outcome(*more: str) -> tuple[str, dict[str, Any]]:
        done = CliRunner().invoke(app, [*words, *more, "--out", str(tmp_path / "runs")])
        assert done.exit_code == 0, done.stderr
        return done.stderr, records.read("gcn-karate")

    _, first = outcome()
    values = first["metrics"]["test_accuracy"]["values"]
    assert len(values) == 3
    assert "confirmed" not in first
    # Other code that computes the same: one seed is enough, and the figures are as they were.
    records.write("gcn-karate", first | {"code": "-"})
    told, kept = outcome("--missing")
    assert "gcn-karate  its first seed is as recorded: figures kept, 2 seeds not run" in told
    assert "gcn-karate  seed 1" not in told
    assert kept.pop("confirmed")
    assert kept == first
    # Other code that computes something else, or other settings: all seeds anew.
    for changes in ({"metrics": {"test_accuracy": other(first)}, "code": "-"}, {"settings": "-"}):
        records.write("gcn-karate", first | changes)
        told, anew = outcome("--missing")
        assert "gcn-karate  seed 2" in told
        assert anew["metrics"] == first["metrics"]
        assert "confirmed" not in anew
    # Without --missing all seeds are run, as asked.
    told, _ = outcome()
    assert "gcn-karate  seed 2" in told


def other(result: dict[str, Any]) -> dict[str, Any]:
    """The main metric with a first seed that was lower."""
    metric = dict(result["metrics"]["test_accuracy"])
    first, *rest = metric["values"]
    return metric | {"values": [first - 0.25, *rest]}


def test_a_file_of_ones_own_has_no_figures_and_is_run(tmp_path: Path) -> None:
    text = (recipes.FOLDER / "gcn-karate.yaml").read_text().replace("about:", "about: mine,")
    (tmp_path / "mine.yaml").write_text(text)
    words = ["run", str(tmp_path / "mine.yaml"), "--missing", "--seeds", "1"]
    done = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "runs")])
    assert done.exit_code == 0, done.stderr
    assert "mine  seed 0" in done.stderr


def test_the_cheapest_come_first_and_the_unknown_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missing, "is_stale", lambda recipe: recipe.name != "fresh")
    monkeypatch.setattr(missing, "want_of_data", lambda recipe: "")
    base = recipes.load("gcn-karate")
    other = {"protocol": "tracking"}

    def made(name: str, minutes: float | None, **fields: Any) -> recipes.Recipe:
        result = {} if minutes is None else RESULT | {"minutes": minutes}
        return dataclasses.replace(base, name=name, reproduced=result, **fields)

    known = [made("fresh", 1.0, seeds=2), made("dear", 9.0, seeds=2), made("cheap", 2.0, seeds=2)]
    kin, strange = made("kin", None, seeds=2), made("strange", None, **other)
    ready, without = outstanding([strange, *known, kin])
    # Kin of 1, 9 and 2 minutes cost their median; kin on the same data come before others.
    assert [each.name for each in ready] == ["cheap", "kin", "dear", "strange"]
    assert expected_minutes(kin, known) == 2
    far = dataclasses.replace(known[1], sections={"dataset": {"name": "elsewhere"}})
    assert expected_minutes(kin, [known[0], far]) == 1
    assert expected_minutes(kin, [far]) == 9
    assert expected_minutes(dataclasses.replace(known[1], seeds=4), known) == 18
    assert not without
    # What a recipe says of itself comes before its kin, what a run took before both.
    long = dataclasses.replace(kin, hours_a_seed=2.0, seeds=3)
    assert expected_minutes(long, known) == 360
    assert expected_minutes(dataclasses.replace(known[0], hours_a_seed=2.0), known) == 1


def test_a_first_seed_that_may_confirm_costs_one_seed() -> None:
    recipe = recipes.load("gcn-karate")
    metrics = {"test_accuracy": {"mean": 0.5, "std": 0.1, "values": [0.4, 0.5, 0.6]}}
    facts = {"minutes": 6.0, "seeds": 3, "metrics": metrics, "settings": fingerprint(recipe)}

    def cost(seeds: int = 3, **changes: Any) -> float:
        result = RESULT | facts | changes
        return expected_minutes(dataclasses.replace(recipe, seeds=seeds, reproduced=result), [])

    assert cost() == 2
    assert cost(seeds=4) == 8
    assert cost(settings="-") == 6
    assert cost(metrics={"test_accuracy": {"mean": 0.5, "std": 0.1}}) == 6


@pytest.mark.parametrize("words", [["--set", "train.epochs=2"], ["--cluster"]])
def test_what_does_not_go_with_it_is_refused(words: list[str], tmp_path: Path) -> None:
    done = run(tmp_path, *words)
    assert done.exit_code == 1
    assert "--missing" in done.stderr
    assert "leave out --set and --cluster" in done.stderr


def test_want_of_data_is_told_from_a_card(data_folder: Path) -> None:
    assert "ind.cora.allx" in want_of_data(recipes.load("gcn-cora"))
    assert want_of_data(recipes.load("gcn-karate")) == ""


def test_the_error_of_a_process_arrives_whole() -> None:
    error = pickle.loads(pickle.dumps(MissingDataError("no 'x' in 'y'")))
    assert isinstance(error, MissingDataError)
    assert str(error) == "no 'x' in 'y'"
