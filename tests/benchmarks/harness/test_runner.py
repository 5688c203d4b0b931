"""The runner: results, resume after a kill, records, reports, the command line."""

from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.cli import app
from benchmarks.harness import missing, records, runner
from benchmarks.harness import recipe as recipes
from benchmarks.harness.environment import peak_memory_mb, reset_peak_memory
from benchmarks.harness.progress import Display
from benchmarks.harness.runner import Options, record, run_recipe, write_text
from benchmarks.report import report
from tests.benchmarks.commands import started


def command(*words: str) -> Any:
    return CliRunner().invoke(app, words)


def test_a_result_has_everything_that_the_format_promises(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    words = ["run", "gcn-karate", "--seeds", "2", "--set", "train.epochs=4"]
    done = command(*words, "--json", str(file), "--out", str(tmp_path / "runs"))
    assert done.exit_code == 0, done.stderr
    (result,) = json.loads(file.read_text())["results"]
    assert result["recipe"] == "gcn-karate"
    assert result["seeds"] == [0, 1]
    assert len(result["metrics"]["test_accuracy"]["values"]) == 2
    assert 0 <= result["metrics"]["test_accuracy"]["mean"] <= 1
    assert result["seconds"] > 0
    assert result["peak_memory_mb"] > 10
    assert result["parameters"] == 34 * 16 + 16 + 16 * 4 + 4
    assert {"commit", "versions", "processor"} <= set(result["environment"])
    assert (tmp_path / "runs" / "results.png").read_bytes()[:4] == b"\x89PNG"
    assert str(file) in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "gcn-coar"], "did you mean"),
        (["run", "gcn-karate", "--set", "train.epoch=3"], "'epochs'"),
        (["run", "gcn-karate", "--set", "train.epochs=3", "--record"], "--set"),
    ],
)
def test_the_command_line_fails_with_a_hint(words: list[str], message: str, tmp_path: Path) -> None:
    done = command(*words, "--out", str(tmp_path))
    assert done.exit_code == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_help_teaches() -> None:
    done = command("--help")
    assert "python -m benchmarks run gcn-cora" in done.stdout


def test_missing_data_is_an_error_with_folder_and_files(data_folder: Path, tmp_path: Path) -> None:
    done = command("run", "gcn-cora", "--seeds", "2", "--out", str(tmp_path / "runs"))
    assert done.exit_code == 1
    assert str(data_folder) in done.stderr
    assert "ind.cora.allx" in done.stderr


def run_killed(out: Path, *words: str) -> None:
    """Starts a command and kills it once it has written a seed and a checkpoint."""
    process = started(
        lambda: any(out.glob("state/*/seed-0.json")) and any(out.glob("state/*/*/*.pt")),
        *(*words, "--out", str(out)),
    )
    process.kill()
    process.wait()


def test_a_killed_command_resumes_bit_for_bit(tmp_path: Path) -> None:
    words = ["run", "gat-karate", "--seeds", "2", "--set", "train.epochs=80"]
    words += ["--set", "train.checkpoint_seconds=0"]
    run_killed(tmp_path / "killed", *words)
    for out, resume in ((tmp_path / "killed", ["--resume"]), (tmp_path / "whole", [])):
        assert command(*words, *resume, "--out", str(out)).exit_code == 0
    one, two = (
        json.loads((tmp_path / name / "results.json").read_text())["results"][0]["metrics"]
        for name in ("killed", "whole")
    )
    assert one == two


def test_resume_refuses_other_settings(tmp_path: Path) -> None:
    recipe = recipes.load("gcn-karate").set(["train.epochs=2"])
    with Display(1, quiet=True) as display:
        run_recipe(recipe, Options(1, tmp_path), display)
        other = recipe.set(["train.epochs=3"])
        with pytest.raises(ValueError, match="other settings"):
            run_recipe(other, Options(1, tmp_path, resume=True), display)


def test_record_writes_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    text = (recipes.FOLDER / "gcn-karate.yaml").read_bytes()
    recipe = recipes.load("gcn-karate")
    assert not recipe.reproduced
    with Display(1, quiet=True) as display:
        result = run_recipe(recipe, Options(None, tmp_path / "runs"), display)
    for _ in range(2):
        record(recipe, result)
        assert [path.name for path in tmp_path.glob("*.*")] == ["gcn-karate.yaml"]
    assert (recipes.FOLDER / "gcn-karate.yaml").read_bytes() == text
    fresh = recipes.load("gcn-karate")
    mean = result["metrics"]["test_accuracy"]["mean"]
    assert fresh.reproduced["metrics"]["test_accuracy"]["mean"] == pytest.approx(mean, abs=1e-5)
    assert not missing.is_stale(fresh)
    other = fresh.set(["train.epochs=7"])
    other.reproduced = fresh.reproduced
    assert missing.is_stale(other)


@pytest.mark.parametrize("late", [0, 1])
def test_a_metric_that_a_seed_lacks_is_named_and_never_left_out(
    late: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def outcome(recipe: Any, seed: int, *rest: Any) -> dict[str, Any]:
        metrics = {"test_accuracy": 0.5} | ({"recall": 0.25} if seed == late else {})
        return {"metrics": metrics, "seconds": 1.0, "parameters": 1, "peak_memory_mb": 1.0}

    monkeypatch.setattr(runner, "run_seed", outcome)
    words = ["run", "gcn-karate", "--seeds", "2", "--jobs", "1", "--out", str(tmp_path)]
    done = command(*words)
    assert done.exit_code == 1
    assert f"gave no 'recall' for seed {1 - late}" in done.stderr


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_a_metric_that_is_no_number_on_some_seed_loses_no_result(
    odd: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    recipe = recipes.load("gcn-karate")

    def outcome(recipe: Any, seed: int, *rest: Any) -> dict[str, Any]:
        metrics = {"test_accuracy": 0.1 * seed, "t": odd if seed == 1 else 2.0}
        return {"metrics": metrics, "seconds": 1.0, "parameters": 1, "peak_memory_mb": 1.0}

    monkeypatch.setattr(runner, "run_seed", outcome)
    with Display(1, quiet=True) as display:
        result = run_recipe(recipe, Options(3, tmp_path / "runs"), display)
    assert result["metrics"]["test_accuracy"]["std"] == pytest.approx(0.1)
    record(recipe, result)
    metrics = records.read("gcn-karate")["metrics"]
    assert metrics["t"]["mean"] == pytest.approx((4 + odd) / 3, nan_ok=True)
    assert math.isnan(metrics["t"]["std"])
    assert metrics["t"]["values"] == pytest.approx([2.0, odd, 2.0], nan_ok=True)
    assert metrics["test_accuracy"]["mean"] == pytest.approx(0.1)
    told = report.rows([recipes.load("gcn-karate")])
    assert any("10.0" in cell or "0.1" in cell for row in told for cell in row)


def test_a_changed_program_makes_results_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipes.load("gcn-karate")
    recipe.reproduced = {"code": runner.code_of(recipe), "settings": runner.fingerprint(recipe)}
    assert not missing.is_stale(recipe)
    monkeypatch.setattr(missing, "code_of", lambda recipe: "another")
    assert missing.is_stale(recipe)


def test_a_data_set_in_other_letters_is_the_same() -> None:
    recipe = recipes.load("gcn-cora")
    other = recipe.set(["dataset.name=cORA"])
    assert other.card is recipe.card is not None
    assert runner.code_of(other) == runner.code_of(recipe)


def test_a_result_of_fewer_seeds_than_asked_for_is_stale() -> None:
    recipe = recipes.load("gcn-karate")
    mark = {"code": runner.code_of(recipe), "settings": runner.fingerprint(recipe)}
    for seeds, stale in (
        (recipe.seeds - 1, True),
        (recipe.seeds, False),
        (recipe.seeds + 1, False),
    ):
        recipe.reproduced = {**mark, "seeds": seeds, "minutes": 1.0, "metrics": {}}
        assert missing.is_stale(recipe) is stale
        assert (f"asks for {recipe.seeds} seeds" in report.state(recipe)) is stale


def test_fill_replaces_only_its_block() -> None:
    text = "a\n<!-- x:start -->\nold\n<!-- x:end -->\nb\n"
    assert report.fill(text, "x", "new") == "a\n<!-- x:start -->\nnew\n<!-- x:end -->\nb\n"
    pages = {Path("a.md"): text, Path("b.md"): "nothing\n"}
    after = report.filled(pages, {"x": "new"})
    assert after == {Path("a.md"): report.fill(text, "x", "new"), Path("b.md"): "nothing\n"}
    with pytest.raises(ValueError, match="y:start"):
        report.filled(pages, {"x": "new", "y": "new"})


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    write_text(file, "old")
    with pytest.raises(AttributeError):
        write_text(file, 3)  # type: ignore[arg-type]
    assert file.read_text() == "old"


def test_peak_memory_follows_an_allocation() -> None:
    reset_peak_memory()
    before = peak_memory_mb()
    block = bytearray(120 * 2**20)
    assert peak_memory_mb() - before > 100
    del block


@pytest.mark.parametrize("when", ["seed-1.json", "results.json"])
def test_a_disk_that_is_full_ends_a_command_with_a_line_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    words = ["run", "gcn-karate", "--seeds", "2", "--set", "train.epochs=3", "--out", str(tmp_path)]
    replace = os.replace

    def full(source: str, target: Path) -> None:
        if Path(target).name == when:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("graphkit.files.os.replace", full)
        done = command(*words)
    assert done.exit_code == 1
    *_, line = done.stderr.splitlines()
    assert line.startswith("error: No space left on device")
    assert f"{1 if when == 'seed-1.json' else 2} seeds of 1 recipes are finished" in line
    assert "Traceback" not in done.stderr
    kept = (tmp_path / "state" / "gcn-karate" / "seed-0.json").read_bytes()
    assert command(*words, "--resume").exit_code == 0
    assert (tmp_path / "state" / "gcn-karate" / "seed-0.json").read_bytes() == kept


def test_brackets_in_an_error_are_shown_as_they_are() -> None:
    done = command("run", "gcn-karate", "--set", "[/red]=1")
    assert done.exit_code == 1
    assert "[/red]" in done.stderr


def test_json_for_the_screen_puts_no_file_in_its_place(tmp_path: Path) -> None:
    words = ["run", "gcn-karate", "--seeds", "1", "--set", "train.epochs=1", "--out", str(tmp_path)]
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert command(*words, "--json", str(pipe)).exit_code == 0
        assert json.loads(os.read(reader, 1 << 16))["results"][0]["seeds"] == [0]
    finally:
        os.close(reader)
    assert pipe.is_fifo()
