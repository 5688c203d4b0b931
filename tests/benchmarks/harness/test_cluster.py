"""Seeds on a cluster give what they give in turn, also when workers die."""

from __future__ import annotations

import json
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from benchmarks.cli import app
from benchmarks.harness import cluster, states
from benchmarks.harness import recipe as recipes
from benchmarks.harness.progress import Display
from benchmarks.harness.runner import Options
from benchmarks.harness.side_by_side import cores

pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")

PROTOCOL = """
import os, signal
from pathlib import Path
from typing import Any

import torch

class Deadly:
  MAIN = "value"

  def run(self, *, place: dict[str, Any], seed: int) -> dict[str, float]:
    mark = Path(place["folder"]) / "killed"
    if place["kill"] and seed == 7 and not mark.exists():
        mark.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)
    torch.manual_seed(seed)
    x = torch.randn(64, 64)
    return {"value": float(torch.linalg.qr(x @ x.t())[1].diagonal().abs().log().sum())}
"""


def metrics(out: Path) -> Any:
    return {
        r["recipe"]: r["metrics"] for r in json.loads((out / "results.json").read_text())["results"]
    }


def recipe(folder: Path, kill: bool) -> str:
    (folder / "cluster_protocol.py").write_text(PROTOCOL)
    place = json.dumps({"folder": str(folder), "kill": kill})
    file = folder / "deadly.yaml"
    head = "about: Dies once.\nprotocol: cluster_protocol:Deadly\nseeds: 40\n"
    file.write_text(f"{head}place: {place}\n")
    return str(file)


def test_forty_seeds_on_four_workers_of_which_one_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parents[3]}")
    threads = torch.get_num_threads()
    torch.set_num_threads(max(cores() // 4, 1))
    try:
        words = ["run", recipe(tmp_path, False), "--jobs", "1", "--out", str(tmp_path / "turns")]
        done = CliRunner().invoke(app, words)
    finally:
        torch.set_num_threads(threads)
    assert done.exit_code == 0, done.stderr
    words = ["run", recipe(tmp_path, True), "--cluster", "--jobs", "4"]
    done = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "cluster")])
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "killed").exists()
    turns, cluster = (metrics(tmp_path / name)["deadly"]["value"] for name in ("turns", "cluster"))
    assert len(cluster["values"]) == 40
    assert cluster["values"] == turns["values"]
    # All is there, so that nothing is computed again.
    states = sorted((tmp_path / "cluster" / "state" / "deadly").glob("seed-*.json"))
    before = [path.stat().st_mtime_ns for path in states]
    words = [*words, "--resume", "--out", str(tmp_path / "cluster")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.stderr
    assert [path.stat().st_mtime_ns for path in states] == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--scheduler", "tcp://127.0.0.1:9"], "add that"),
        (["--cluster", "--devices", "2"], "leave out --devices"),
    ],
)
def test_contradictions_are_refused(words: list[str], message: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["run", "gcn-karate", *words, "--out", str(tmp_path)])
    assert done.exit_code == 1
    assert message in " ".join(done.stderr.split())


def test_no_other_command_takes_the_place_while_seeds_are_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Client:
        """Asks for the place in the stead of another command, while a seed is handed out."""

        def submit(self, *_: Any, **__: Any) -> None:
            with states.only_writer(tmp_path / "state", "gcn-karate", True):
                pytest.fail("another command may write there")

    monkeypatch.setattr(cluster, "client_of", lambda *_: nullcontext(Client()))
    options = Options((0,), tmp_path)
    found = cluster.run_on_cluster(
        [recipes.load("gcn-karate")], options, Display(1, quiet=True), "1", None
    )
    with pytest.raises(ValueError, match=f"process {os.getpid()} is running 'gcn-karate'"):
        next(found)
    # The end of the command lets go of it.
    with states.only_writer(tmp_path / "state", "gcn-karate", True):
        pass
