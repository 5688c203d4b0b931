"""Recipes side by side in processes give what they give one after another."""

from __future__ import annotations

import json
import multiprocessing
import os
import queue
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from benchmarks.cli import app
from benchmarks.harness import recipe as recipes
from benchmarks.harness.command import Command
from benchmarks.harness.progress import Display
from benchmarks.harness.side_by_side import RemoteDisplay, cores, passed_on, processes, share
from tests.benchmarks.commands import started


def results(out: Path, *words: str) -> dict[str, Any]:
    words = ("run", *words, "--set", "train.epochs=4", "--seeds", "2", "--out", str(out))
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.stderr
    for recipe in ("gat-karate", "gcn-karate"):
        assert done.stderr.count(f"{recipe}  seed") == 2
    found = json.loads((out / "results.json").read_text())["results"]
    return {result["recipe"]: result for result in found}


def test_two_at_a_time_are_as_one_after_another(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(max(cores() // 2, 1))
    try:
        turns = results(tmp_path / "turns", "gcn-karate", "gat-karate", "--jobs", "1")
    finally:
        torch.set_num_threads(threads)
    side = results(tmp_path / "side", "gcn-karate", "gat-karate", "--jobs", "2")
    assert list(side) == list(turns) == ["gcn-karate", "gat-karate"]
    for name, result in side.items():
        assert result["metrics"] == turns[name]["metrics"]
        assert result["environment"]["threads"] == max(cores() // 2, 1)


def test_an_error_ends_the_command_and_keeps_what_was_finished(
    data_folder: Path, tmp_path: Path
) -> None:
    words = ("run", "gcn-cora", "gcn-karate", "--seeds", "1", "--jobs", "2")
    done = CliRunner().invoke(app, (*words, "--out", str(tmp_path / "runs")))
    assert done.exit_code == 1
    assert str(data_folder) in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "runs" / "state" / "gcn-karate" / "seed-0.json").exists()


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_killed_processes_leave_none_behind_and_resume(tmp_path: Path) -> None:
    words = ["run", "gat-karate", "gcn-karate", "--seeds", "6", "--set", "train.epochs=40"]
    words += ["--jobs", "2", "--out", str(tmp_path)]
    process = started(lambda: len(list(tmp_path.glob("state/*/seed-0.json"))) == 2, *words)
    children = children_of(process.pid)
    assert len(children) >= 2
    process.kill()
    process.wait()
    deadline = time.monotonic() + 600
    while any(map(alive, children)):
        assert time.monotonic() < deadline, "processes outlived their parent"
        time.sleep(0.1)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("state/*/seed-*.json")}
    words[words.index("--jobs") + 1] = "1"
    done = CliRunner().invoke(app, [*words, "--resume"])
    assert done.exit_code == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(list(tmp_path.glob("state/*/seed-*.json"))) == 12


def children_of(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    """Whether a process runs."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_what_processes_say_reaches_the_screen() -> None:
    said: list[tuple[str, Any]] = []

    class Screen(Display):
        def end_seed(self, recipe: str, seed: int, value: float | None) -> None:
            said.append((recipe, (seed, value)))

        def keep_seeds(self, recipe: str, count: int) -> None:
            said.append((recipe, count))

    messages: queue.Queue[Any] = queue.Queue()
    far = RemoteDisplay("mine")
    far.messages = messages
    with Screen(3, quiet=True) as screen, passed_on(messages, screen):
        far.end_seed("mine", 0, 0.5)
        far.keep_seeds("mine", 2)
    assert said == [("mine", (0, 0.5)), ("mine", 2)]


def test_how_many_processes() -> None:
    assert processes("auto", 1) == 1
    assert processes("auto", 100) == min(cores(), 8)
    assert processes("3", 2) == 2
    assert processes("auto", 5, plain=False) == 1
    for wrong in ("0", "-1", "two"):
        with pytest.raises(ValueError, match=f"'{wrong}'"):
            processes(wrong, 3)
    with pytest.raises(ValueError, match="--devices"):
        processes("2", 3, plain=False)


def test_the_share_of_cores_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    with share(2):
        assert os.environ["OMP_NUM_THREADS"] == os.environ["NUMBA_NUM_THREADS"]
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "NUMBA_NUM_THREADS" not in os.environ


def test_ctrl_c_says_what_is_there_and_how_to_go_on(tmp_path: Path) -> None:
    words = ["run", "gat-karate", "gcn-karate", "--seeds", "999", "--set", "train.epochs=40"]
    words += ["--jobs", "2", "--out", str(tmp_path)]
    process = started(lambda: any(tmp_path.glob("state/*/seed-0.json")), *words)
    os.kill(process.pid, signal.SIGINT)
    done = process.wait()
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    finished = len(list(tmp_path.glob("state/*/seed-*.json")))
    assert f"stopped: {finished} seeds of" in done.stderr
    assert f"--jobs 2 --out {tmp_path} --resume" in done.stderr.replace("\n", " ")


SLEEPER = """
import time

class Protocol:
    MAIN = "value"

    def run(self, seconds, seed):
        time.sleep(seconds)
        return {"value": 1.0}
"""


def test_no_recipe_goes_on_when_a_result_cannot_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parents[3]}")
    for name, seconds in (("first", 0), ("second", 900)):
        text = f"about: x\nprotocol: sleeper:Protocol\nseeds: 1\nseconds: {seconds}\n"
        (tmp_path / f"{name}.yaml").write_text(text)

    def fail(*_: Any) -> None:
        raise OSError("planted")

    words = [str(tmp_path / f"{name}.yaml") for name in ("first", "second")]
    command = Command(words, out=tmp_path / "out", jobs="2", record=True)
    # Figures of recipes that are no part of the checkout are not recorded.
    loaded = [recipes.load(word) for word in words]
    monkeypatch.setattr(Command, "recipes", lambda self: loaded)
    monkeypatch.setattr("benchmarks.harness.runner.record", fail)
    with pytest.raises(OSError, match="planted"):
        command.run(quiet=True)
    assert not multiprocessing.active_children()
