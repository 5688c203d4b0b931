"""``--devices 2``: the command starts its own processes and one of them writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.cli import app


def values(out: Path, devices: int) -> list[float]:
    words = ["run", "gcn-karate", "--seeds", "2", "--out", str(out), "--devices", str(devices)]
    words += ["--set", "train.epochs=2", "--set", "model.dropout=0.0"]
    if devices == 1:
        assert CliRunner().invoke(app, words).exit_code == 0
    else:
        place = dict(os.environ, OMP_NUM_THREADS="1")
        command = [sys.executable, "-m", "benchmarks", *words]
        subprocess.run(command, env=place, check=True, capture_output=True, timeout=600)
    (result,) = json.loads((out / "results.json").read_text())["results"]
    return result["metrics"]["val_accuracy"]["values"]


def test_two_processes_reach_the_figures_of_one(tmp_path: Path) -> None:
    one, two = values(tmp_path / "one", 1), values(tmp_path / "two", 2)
    assert one == pytest.approx(two, abs=1e-6)
