"""The table and the page of the command without words."""

from __future__ import annotations

import html.parser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.cli import DEFAULT
from benchmarks.harness import recipe as recipes
from benchmarks.report.page import write_page
from benchmarks.report.tour import ROWS, Pair, pairs_of, show_tour


def results() -> list[dict[str, Any]]:
    """What a run of the tour gives, with figures of a known size: with is .1 or 2 ms better."""
    metrics: dict[str, dict[str, Any]] = {}
    for row in ROWS:
        for place, share, time in ((row.before, 0.5, 1234.0), (row.after, 0.6, 617.0)):
            value = share if row.unit == "%" else time
            values = [value, value + 0.02, value + 0.04]
            metrics.setdefault(place[0], {})[place[1]] = {
                "mean": values[1],
                "std": 0.02,
                "values": values,
            }
    place = {"processor": "<one>", "threads": 2, "versions": {"torch": "2"}, "commit": "abc"}
    return [
        {
            "recipe": name,
            "metrics": figures,
            "main": next(iter(figures)),
            "seconds": 1.5,
            "environment": place,
        }
        for name, figures in metrics.items()
    ]


def test_every_line_is_of_the_default_recipes_and_their_metrics() -> None:
    named = {place[0] for row in ROWS for place in (row.before, row.after)}
    assert named == set(recipes.expand(DEFAULT))
    layers = recipes.load("tour-layers").sections["models"]
    places = [place for row in ROWS for place in (row.before, row.after)]
    assert {metric.split("_")[0] for name, metric in places if name == "tour-layers"} == set(layers)


def test_both_halves_of_forgetting_differ_by_the_strategy_alone() -> None:
    with_twp, without = (recipes.load(f"tour-{name}") for name in ("forgetting", "finetuning"))
    assert with_twp.sections.pop("strategy") == {"name": "TWP"}
    assert without.sections.pop("strategy") == {"name": "FineTune"}
    assert with_twp.sections == without.sections


def test_the_table_fits_eighty_columns_and_cuts_nothing() -> None:
    console = Console(width=80)
    with console.capture() as capture:
        show_tour(pairs_of(results()), console)
    text = capture.get()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for row in ROWS:
        assert row.subject in text
        assert row.measure in text
    shares = " ".join(text.split()).count("52.0 ± 2.0 % 62.0 ± 2.0 % +10.0")
    assert shares + text.count("1234 ms") == len(ROWS)
    assert text.count("2.0 x faster") == text.count("617 ms") == text.count("1234 ms") > 0


def test_a_line_needs_both_sides() -> None:
    some = [result for result in results() if result["recipe"] != "tour-finetuning"]
    assert len(pairs_of(some)) == len(ROWS) - 1
    assert pairs_of([]) == []


def test_one_seed_has_no_deviation() -> None:
    pair = Pair(ROWS[0], [0.5], [0.625])
    assert pair.gain == "+12.5"
    console = Console(width=80)
    with console.capture() as capture:
        show_tour([pair], console)
    assert "50.0 %" in capture.get()


class Sources(html.parser.HTMLParser):
    """What a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]


@pytest.mark.parametrize("part", [slice(None), slice(0, 1)])
def test_the_page_is_one_file_with_plots(part: slice, tmp_path: Path) -> None:
    run = results()[part]
    text = write_page(run, tmp_path / "report.html").read_text()
    page = Sources()
    page.feed(text)
    assert page.sources
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert not {"script", "link"} & set(page.tags)
    assert "&lt;one&gt;" in text
    for result in run:
        assert all(name in text for name in result["metrics"])
    assert list(tmp_path.iterdir()) == [tmp_path / "report.html"]
