"""The page that a command leaves: one HTML file with its figures and plots, nothing beside it."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path
from typing import Any

from benchmarks.report.report import is_rate, number
from benchmarks.report.tour import MILLISECONDS, Pair, figure, pairs_of
from graphkit.files import replacing
from graphkit.plot import load_pyplot

__all__ = ["write_page"]

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .75rem; text-align: left; vertical-align: top;
         border-bottom: 1px solid #ddd }
td.n { text-align: right; white-space: nowrap }
img { max-width: 100%; height: auto }
code { background: #f3f3f3; padding: 0 .25rem }
.wide { overflow-x: auto }
"""


def write_page(results: list[dict[str, Any]], path: Path) -> Path:
    """Writes the page: the comparison of the tour if it was run, every metric, and where it ran."""
    pairs = pairs_of(results)
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width'>",
        f"<title>graphkit: a run</title><style>{STYLE}</style></head><body>",
        "<h1>graphkit: what was run</h1>",
        "<p>All figures are of this run: mean ± standard deviation over seeds.</p>",
    ]
    if pairs:
        parts += ["<h2>Without and with</h2>", comparison(pairs), image(plot_pairs(pairs))]
    parts += ["<h2>Every metric</h2>", image(plot_results(results)), metrics_table(results)]
    parts += ["<h2>Where</h2>", places(results), "</body></html>\n"]
    with replacing(path) as file:
        file.write("\n".join(part for part in parts if part).encode())
    return path


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table; all cells but the first two are figures."""
    lines = ["<tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in head) + "</tr>"]
    for row in rows:
        cells = (
            f"<td{' class=n' if place > 1 else ''}>{html.escape(cell)}</td>"
            for place, cell in enumerate(row)
        )
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<div class='wide'><table>{''.join(lines)}</table></div>"


def comparison(pairs: list[Pair]) -> str:
    """The table of the tour."""
    rows = [
        [
            pair.row.subject,
            pair.row.measure,
            *(figure(values, pair.row.unit) for values in (pair.before, pair.after)),
            pair.gain,
        ]
        for pair in pairs
    ]
    return table(["what", "measure", "without", "with", "gain"], rows)


def metrics_table(results: list[dict[str, Any]]) -> str:
    """All metrics of all recipes."""
    rows = []
    for result in results:
        for name, metric in result["metrics"].items():
            rows.append([result["recipe"], name, number(name, metric), str(len(metric["values"]))])
    return table(["recipe", "metric", "figure", "seeds"], rows)


def places(results: list[dict[str, Any]]) -> str:
    """Commit, versions and processor of each recipe's run, and how long it took."""
    rows = []
    for result in results:
        place = result["environment"]
        versions = ", ".join(f"{name} {version}" for name, version in place["versions"].items())
        words = f"{place['processor']}, {place['threads']} threads; {versions}"
        rows.append([result["recipe"], words, place["commit"], f"{result['seconds']:.1f} s"])
    return table(["recipe", "processor and versions", "commit", "time"], rows)


def image(picture: Any) -> str:
    """A figure of matplotlib inside the page; nothing without one."""
    if picture is None:
        return ""
    buffer = io.BytesIO()
    picture.savefig(buffer, format="png", dpi=110)
    source = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    return f"<p><img alt='the figures of the table, a dot per seed' src='{source}'></p>"


def new_figure(height: float) -> tuple[Any, Any]:
    """A figure that no window shows, and its axes."""
    new = load_pyplot(windows=False).Figure(figsize=(8, height), layout="constrained")
    return new, new.subplots()


def plot_pairs(pairs: list[Pair]) -> Any:
    """Shares without and with, a dot per seed; times are in the table alone."""
    shares = [pair for pair in pairs if pair.row.unit != MILLISECONDS]
    if not shares:
        return None
    picture, axes = new_figure(1 + 0.5 * len(shares))
    for place, pair in enumerate(reversed(shares)):
        for shift, values, colour in ((-0.12, pair.after, "C0"), (0.12, pair.before, "0.6")):
            axes.scatter(
                [100 * value for value in values], [place + shift] * len(values), color=colour
            )
    labels = [f"{pair.row.subject}\n{pair.row.measure}" for pair in reversed(shares)]
    axes.set_yticks(range(len(shares)), labels, fontsize=8)
    axes.set_xlabel("%; grey: without, blue: with, one dot per seed")
    axes.grid(axis="x", alpha=0.3)
    return picture


def plot_results(results: list[dict[str, Any]]) -> Any:
    """The main metric of each recipe, a dot per seed."""
    shown = [result for result in results if result["main"] in result["metrics"]]
    if not shown:
        return None
    picture, axes = new_figure(1 + 0.35 * len(shown))
    for place, result in enumerate(reversed(shown)):
        metric = result["metrics"][result["main"]]
        scale = 100 if is_rate(result["main"]) else 1
        values = [scale * value for value in metric["values"]]
        axes.scatter(values, [place] * len(values), alpha=0.6)
    names = [f"{result['recipe']}: {result['main']}" for result in reversed(shown)]
    axes.set_yticks(range(len(shown)), names, fontsize=8)
    axes.set_xlabel("main metric (rates in %), one dot per seed")
    axes.grid(axis="x", alpha=0.3)
    return picture
