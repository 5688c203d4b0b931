"""The growth of finding paths: the graphs are what they say, the curve is drawn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import scale


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
    rows = scale.run(quick=True, json_file=tmp_path / "x.json", plot=tmp_path / "a" / "x.png")
    assert [row["edges"] for row in rows] == [200, 400]
    assert all(row["paths"] > 0 and row["search_seconds"] > 0 for row in rows)
    assert json.loads((tmp_path / "x.json").read_text())["paths"] == rows
    assert (tmp_path / "a" / "x.png").stat().st_size > 1000


def test_a_large_graph_is_written_trained_and_run_through_once(tmp_path: Path) -> None:
    from benchmarks.scale.large import run_large

    first = run_large(tmp_path, 3000, 20_000, 2500)
    assert {"writing", "opening", "training", "inference"} < set(first)
    assert first["training"]["seeds"] == 2500
    assert first["inference"]["nodes"] == 3000
    again = run_large(tmp_path, 3000, 20_000, 2500)
    assert again["training"] == first["training"]
    assert again["inference"] == first["inference"]
