"""Growth: the graphs are what they say, curves are drawn, and kills cost no bit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from benchmarks import scale
from benchmarks.cli import app
from benchmarks.report.scale import scale_table
from benchmarks.scale import growth, large
from benchmarks.scale.large import run_large
from benchmarks.scale.ledger import Ledger
from graphkit.datasets import DamagedDataError
from graphkit.train import save_checkpoint


def test_degrees_follow_a_power_law() -> None:
    edge_index = scale.power_law_graph(20_000, 200_000)
    assert edge_index.shape == (2, 200_000)
    degree = torch.bincount(edge_index[0], minlength=20_000).double()
    assert torch.equal(degree, torch.bincount(edge_index[1], minlength=20_000).double())
    top = degree.sort(descending=True).values[:1000].numpy()
    slope = np.polyfit(np.log(np.arange(10, 1001)), np.log(top[9:]), 1)[0]
    assert slope == pytest.approx(-1 / 1.5, abs=0.08)


def test_the_command_writes_figures_and_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scale, "EDGES", (200, 400, 800))
    words = ["scale", "--quick", "--json", str(tmp_path / "x.json"), "--out", str(tmp_path / "a")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.stderr
    rows = json.loads((tmp_path / "x.json").read_text())["paths"]
    assert [row["edges"] for row in rows] == [200, 400]
    assert all(row["paths"] > 0 and row["search_seconds"] > 0 for row in rows)
    assert (tmp_path / "a" / "scale.png").stat().st_size > 1000


def test_figures_of_a_large_graph_go_where_they_are_asked_for(tmp_path: Path) -> None:
    large = ["scale", "--large", str(tmp_path / "large"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*large, "--nodes", "400", "--json", str(tmp_path / "x.json")])
    assert done.exit_code == 0, done.stderr
    assert json.loads((tmp_path / "x.json").read_text())["inference"]["nodes"] == 400
    # Parts of another size are done, and their figures are not those of this one.
    done = CliRunner().invoke(app, [*large, "--nodes", "500"])
    assert done.exit_code == 1
    assert "holds a run of 400 nodes and 4,000 edges" in done.stderr


class KilledError(Exception):
    """A kill."""


def run_until(folder: Path, part: str, entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a large graph until a part has made so many entries in its account."""
    spend, seen = Ledger.spend, [0]

    def spend_or_die(self: Ledger) -> None:
        spend(self)
        seen[0] += self.name == part
        if seen[0] == entries:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "spend", spend_or_die)
        with pytest.raises(KilledError):
            run_large(folder, 3000, 20_000, 2500)


def test_a_large_graph_killed_and_resumed_gives_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large, "BATCH", 250)
    monkeypatch.setattr(large, "SAVED_EVERY", 2)
    wanted = run_large(tmp_path / "a", 3000, 20_000, 2500)
    assert {"writing", "sampling", "training", "inference"} < set(wanted)
    assert wanted["training"]["seeds"] == 2500
    assert wanted["inference"]["nodes"] == 3000
    assert run_large(tmp_path / "a", 3000, 20_000, 2500) == wanted
    # The first entry of a part is its start: the third is that of the second checkpoint, and the
    # second that of the first layer.
    run_until(tmp_path / "b", "training", 3, monkeypatch)
    run_until(tmp_path / "b", "inference", 3, monkeypatch)
    found = run_large(tmp_path / "b", 3000, 20_000, 2500)
    for part in ("training", "inference"):
        assert found[part]["starts"] == 2
        assert found[part]["digest"] == wanted[part]["digest"]
    assert found["training"]["edges"] == wanted["training"]["edges"]


def test_accounts_and_states_that_no_run_wrote_are_named(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    spent = {"seconds": 1, "cpu_seconds": 1, "peak_memory_mb": 1, "starts": 1}
    for wrong in (
        {"writing": {"seconds": 1}},
        {"nodes": "ten"},
        [],
        {"writing": {**spent, "starts": None}},
    ):
        file.write_text(json.dumps(wrong))
        with pytest.raises(DamagedDataError, match=r"figures\.json'.*to begin anew"):
            Ledger(file)
    file.write_text(json.dumps({"nodes": 5, "edges": 9, "training": spent}))
    assert not Ledger(file).is_done("training")
    with pytest.raises(DamagedDataError, match=r"figures\.json'.*KeyError: 'writing'"):
        growth.row_of(tmp_path, growth.figures_of(tmp_path))
    for state in ({}, {"done": 9, "edges": 1, "loss": 1.0}, {"done": 1, "edges": 1, "loss": "a"}):
        save_checkpoint({"graphkit_checkpoint": 1, **state}, tmp_path / "training.pt")
        with pytest.raises(DamagedDataError, match=r"training\.pt'.*training starts anew"):
            large.train(None, tmp_path, 10, 4, Ledger(file))


CHILD = """
import json, sys, time
from pathlib import Path

folder, figures = Path(sys.argv[1]), {"nodes": 10, "edges": 100}
if (folder / "figures.json").exists():
    figures = json.loads((folder / "figures.json").read_text())
for part in ("training", "inference"):
    none = dict.fromkeys(("seconds", "cpu_seconds", "peak_memory_mb", "starts"), 0)
    spent = figures.setdefault(part, {**none, "done": False})
    if spent["done"]:
        continue
    spent["starts"] += 1
    for _ in range(8):
        spent["seconds"] += 1.0
        # Put in its place whole, as the reader may look at any time.
        work = folder / "work"
        work.write_text(json.dumps(figures))
        work.rename(folder / "figures.json")
        time.sleep(0.1)
    spent |= {"done": True, "digest": sys.argv[2]}
(folder / "work").write_text(json.dumps(figures))
(folder / "work").rename(folder / "figures.json")
"""


def start_with(monkeypatch: pytest.MonkeyPatch, digest: str) -> None:
    """Lets a size be run by a process that only keeps an account."""

    def start(folder: Path, nodes: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", CHILD, str(folder), digest])

    monkeypatch.setattr(growth, "start", start)


def test_kills_come_in_the_middle_and_other_bits_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "graph-10").mkdir()
    start_with(monkeypatch, "same")
    killed = growth.run_killed(tmp_path, 10)
    assert [killed[part]["starts"] for part in growth.KILLED] == [2, 2]
    # An account of one second for each entry, however long that took: the killed start had some.
    assert all(killed[part]["seconds"] > 8 for part in growth.KILLED)
    assert growth.run_killed(tmp_path, 10) == killed
    found = growth.run_undisturbed(tmp_path, 10, killed)
    assert [found[part]["starts"] for part in growth.KILLED] == [1, 1]
    place = tmp_path / "undisturbed"
    assert (place / "graph-10").resolve() == (tmp_path / "graph-10").resolve()
    (place / "figures.json").unlink()
    start_with(monkeypatch, "other")
    with pytest.raises(RuntimeError, match="gave other bits"):
        growth.run_undisturbed(tmp_path, 10, killed)


def test_growth_is_kept_size_by_size_drawn_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent = {"seconds": 2.0, "cpu_seconds": 3.0, "peak_memory_mb": 2048.0, "starts": 1}
    facts = {"megabytes": 9, "edges": 7, "seeds": 5, "accuracy": 0.5}
    order = []

    def figures(folder: Path, nodes: int, *args: object) -> dict[str, Any]:
        order.append(nodes)
        size = {"nodes": nodes, "edges": 10 * nodes, "environment": {}}
        return size | dict.fromkeys(growth.PARTS, spent | facts)

    def killed(folder: Path, nodes: int) -> dict[str, Any]:
        row = figures(folder, nodes)
        return row | {"training": row["training"] | {"starts": 2}}

    for name, function in (("finish", figures), ("run_killed", killed)):
        monkeypatch.setattr(growth, name, function)
    monkeypatch.setattr(growth, "run_undisturbed", figures)
    monkeypatch.setattr(growth, "RESULTS", tmp_path / "results" / "scale.json")
    (tmp_path / "results").mkdir()
    found = growth.run_growth(tmp_path / "g", record=True, plot=tmp_path / "x.png")
    assert order == [10_000_000, 1_000_000, 100_000, 1_000_000, 10_000_000]
    assert [row["nodes"] for row in found["rows"]] == [100_000, 1_000_000, 10_000_000]
    assert json.loads((tmp_path / "results" / "scale.json").read_text()) == found
    assert (tmp_path / "results" / "scale.png").stat().st_size > 1000
    lines = scale_table(tmp_path / "results" / "scale.json").splitlines()
    assert lines[2:].index("") == 12
    assert "10,000,000, 100,000,000 | an epoch of 5 seeds" in lines[12]
    assert "killed 1 time(s) | 2.0 | 3.0 | 2.0 |" in lines[12]
    assert "the same bits came out at 1,000,000, 10,000,000 nodes" in lines[-1]
    assert "Not measured" in scale_table(tmp_path / "y.json")
    for key in found:
        (tmp_path / "y.json").write_text(json.dumps({**found, key: 5}))
        with pytest.raises(DamagedDataError, match=r"y\.json'.*--growth FOLDER --record"):
            scale_table(tmp_path / "y.json")
