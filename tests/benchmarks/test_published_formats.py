"""The recipes of PPI and ogbn-arxiv on small files in exactly the published formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.cli import app
from graphkit.datasets import find_card
from tests.datasets.files import write_arxiv, write_ppi

RECIPES = {
    "gcn-ogbn-arxiv": ("ogbn-arxiv", "test_accuracy"),
    "graphsage-ogbn-arxiv": ("ogbn-arxiv", "test_accuracy"),
    "gat-ppi": ("PPI", "test_micro_f1"),
    "graphsage-ppi": ("PPI", "test_micro_f1"),
    "twp-gat-ppi": ("PPI", "average_performance"),
    "finetune-gat-ppi": ("PPI", "average_performance"),
}


def run(tmp_path: Path, name: str) -> Any:
    words = ["run", name, "--seeds", "1", "--set", "train.epochs=2"]
    words += ["--set", "model.hidden_channels=8", "--json", str(tmp_path / "out.json")]
    return CliRunner().invoke(app, [*words, "--out", str(tmp_path / "runs")])


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_runs_on_files_in_the_published_format(
    name: str, data_folder: Path, tmp_path: Path
) -> None:
    write_ppi(data_folder)
    write_arxiv(data_folder)
    done = run(tmp_path, name)
    assert done.exit_code == 0, done.stderr
    (result,) = json.loads((tmp_path / "out.json").read_text())["results"]
    assert 0 <= result["metrics"][RECIPES[name][1]]["mean"] <= 1


@pytest.mark.parametrize("name", ["gcn-ogbn-arxiv", "gat-ppi"])
def test_without_the_data_a_recipe_says_what_to_get(
    name: str, data_folder: Path, tmp_path: Path
) -> None:
    done = run(tmp_path, name)
    card = find_card(RECIPES[name][0])
    assert done.exit_code == 1
    assert card.source in done.stderr
    assert all(file in done.stderr for file in card.files)
    assert str(data_folder / card.folder) in done.stderr
