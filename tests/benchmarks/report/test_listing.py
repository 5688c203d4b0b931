"""The list of recipes: whole names on a narrow screen, filters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from benchmarks.cli import app
from benchmarks.harness import recipe as recipes
from benchmarks.report import listing
from benchmarks.report.listing import Listed, show_listing


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handful of recipes: reading all of them is tested elsewhere, and takes seconds."""
    names = ["gcn-cora", "gcn-karate", "tracking-tud-campus", "ticnn-digits"]
    monkeypatch.setattr(listing, "names", lambda: names)


def test_names_are_whole_in_eighty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    longest = max(recipes.names(), key=len)
    lines = [
        Listed(
            longest, "SyntheticFactorGraphs", "domain_correlation_nodes", "accuracy", 1, 0.5, "x"
        )
    ]
    console = Console(width=80)
    with console.capture() as capture:
        show_listing(lines, console)
    text = capture.get()
    assert {longest, "SyntheticFactorGraphs", "domain_correlation_nodes", "50.0"} <= set(
        text.split()
    )
    assert max(map(len, text.splitlines())) <= 80


def test_filters() -> None:
    def names(**filters: object) -> list[str]:
        return [line.name for line in listing.listing(**filters)]  # type: ignore[arg-type]

    assert names(dataset="cora") == ["gcn-cora"]
    assert names(group="tracking") == []
    assert names(group="adapters") == ["tracking-tud-campus", "ticnn-digits"]
    assert names(group="node_classification") == ["gcn-cora", "gcn-karate"]
    assert names(words=["GCN", "club"]) == ["gcn-karate"]
    assert names(words=["nothing of this"]) == []


def test_as_json(tmp_path: Path) -> None:
    file = tmp_path / "list.json"
    done = CliRunner().invoke(app, ["list", "cora", "--json", str(file)])
    assert done.exit_code == 0, done.stderr
    printed = CliRunner().invoke(app, ["list", "cora", "--json", "-"])
    assert json.loads(printed.stdout) == json.loads(file.read_text())
    (line,) = json.loads(printed.stdout)["recipes"]
    assert (line["name"], line["dataset"], line["metric"]) == ("gcn-cora", "Cora", "test_accuracy")
    assert 0.7 < line["reproduced"] < 0.9
