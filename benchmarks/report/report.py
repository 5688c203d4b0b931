"""Tables and plots of results."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.harness import records
from benchmarks.harness.missing import has_fewer_seeds, has_other_settings, is_stale
from benchmarks.harness.outputs import write_figure
from benchmarks.harness.recipe import Recipe, load, names
from benchmarks.harness.runner import write_text
from benchmarks.report.gpu import gpu_table
from benchmarks.report.markdown import markdown_table, measured, percent
from benchmarks.report.scale import scale_table
from benchmarks.report.standing import standing, waiting
from benchmarks.report.tables import TABLES
from graphkit.plot import load_pyplot

PAGES = Path(__file__).parent.parent.parent / "docs"
PLOT = Path(__file__).parent.parent / "results" / "reproduced.png"


def number(name: str, metric: dict[str, Any]) -> str:
    """A metric as people read it: rates in per cent, the rest as it is."""
    if is_rate(name):
        return f"{percent(metric)} %"
    mean = f"{metric['mean']:.4g}"
    return mean if metric["std"] is None else f"{mean} ± {metric['std']:.2g}"


def is_rate(name: str) -> bool:
    """Whether a metric's name says that it is a share in [0, 1]."""
    return bool(re.search(r"accuracy|f1|fold_std|performance|forgetting|recall|precision", name))


def show(results: list[dict[str, Any]], console: Console) -> None:
    """Prints the table of a command's results."""
    table = Table(title="mean ± standard deviation over seeds")
    for column in ("recipe", "result", "seeds", "seconds", "peak MB", "parameters"):
        side = "left" if column in ("recipe", "result") else "right"
        table.add_column(column, justify=side, overflow="fold")  # type: ignore[arg-type]
    for result in results:
        metrics = result["metrics"]
        first = [result["main"]] if result["main"] in metrics else []
        shown = [*first, *(name for name in metrics if is_rate(name) and name not in first)]
        shown = shown or list(metrics)
        table.add_row(
            escape(result["recipe"]),
            escape("\n".join(f"{name} {number(name, metrics[name])}" for name in shown)),
            str(len(result["seeds"])),
            f"{result['seconds']:.1f}",
            f"{result['peak_memory_mb']:.0f}",
            f"{result['parameters']:,}",
        )
    console.print(table)


def plot(results: list[dict[str, Any]], path: Path) -> Path:
    """Draws the main metric of every recipe, with each seed as a dot, into a PNG."""
    pyplot = load_pyplot(windows=False)
    # A recipe on data without the truth that the main metric needs has no such metric.
    results = [result for result in results if result["main"] in result["metrics"]]
    height = 1.2 + 0.38 * len(results)
    figure, axes = pyplot.subplots(figsize=(7.5, height), layout="constrained")
    for row, result in enumerate(reversed(results)):
        metric = result["metrics"][result["main"]]
        values = metric.get("values") or [metric["mean"]]
        scale = 100 if is_rate(result["main"]) else 1
        axes.scatter([scale * v for v in values], [row] * len(values), s=14, alpha=0.45)
        axes.errorbar(scale * metric["mean"], row, xerr=scale * metric["std"], fmt="k|", capsize=3)
    axes.set_yticks(range(len(results)), [r["recipe"] for r in reversed(results)])
    axes.set_xlabel("main metric (rates in %), one dot per seed, bar = standard deviation")
    axes.grid(axis="x", alpha=0.3)
    write_figure(figure, path, dpi=130)
    pyplot.close(figure)
    return path


def state(recipe: Recipe) -> str:
    """How a recipe was run here: seeds, minutes, collapsed runs, and whether that is stale."""
    result = recipe.reproduced
    if not result:
        return "not run here"
    text = f"{result['seeds']} seed{'s' * (result['seeds'] > 1)}, {result['minutes']:g} min"
    if "collapsed" in result["metrics"]:
        text += f", {round(result['metrics']['collapsed']['mean'] * result['seeds'])} collapsed"
    if has_other_settings(recipe):
        return text + ", **stale**: of other settings than the recipe's"
    if has_fewer_seeds(recipe):
        return text + f", **stale**: the recipe asks for {recipe.seeds} seeds"
    return text + (", **stale**: the code has changed since" if is_stale(recipe) else "")


def rows(recipes: Iterable[Recipe]) -> list[list[str]]:
    """Rows of the results table: the main metric, and every other one that was reported."""
    table = []
    for recipe in recipes:
        main, ours = recipe.module.MAIN, recipe.reproduced.get("metrics", {})
        extra = [name for name in recipe.reported if name != main and name in ours]
        for name in (main, *extra):
            reported = recipe.reported.get(name) or {}
            theirs = percent(reported) if is_rate(name) else str(reported.get("mean", "–"))
            metric = measured(recipe, name)
            figure = "–" if metric is None else number(name, metric).replace(" %", "")
            cells = [f"`{recipe.name}`", name, f"{theirs} {reported.get('source', '')}".strip()]
            table.append([*cells, figure, state(recipe)])
    return table


def markdown(recipes: Iterable[Recipe]) -> str:
    """The table of results, and below it the recipes that were not run here."""
    recipes = list(recipes)
    table = markdown_table(
        ["recipe", "metric", "reported", "reproduced", "run"],
        rows(recipe for recipe in recipes if recipe.reproduced),
    )
    return f"{table}\n\nReady, not run here:\n\n{waiting(recipes)}"


def fill(text: str, name: str, content: str) -> str:
    """Replaces what stands between ``<!-- name:start -->`` and ``<!-- name:end -->``."""
    pattern = re.compile(rf"(<!-- {name}:start -->\n).*?(<!-- {name}:end -->)", re.DOTALL)
    return pattern.sub(lambda match: f"{match[1]}{content}\n{match[2]}", text)


def filled(pages: dict[Path, str], contents: dict[str, str]) -> dict[Path, str]:
    """The pages with every block filled in.

    Raises:
        ValueError: If a block stands on no page.
    """
    for name, content in contents.items():
        if not any(f"<!-- {name}:start -->" in text for text in pages.values()):
            raise ValueError(
                f"no page in docs has a '<!-- {name}:start -->' … '<!-- {name}:end -->' block"
            )
        pages = {path: fill(text, name, content) for path, text in pages.items()}
    return pages


def methods_table() -> str:
    """The table of methods, from their cards."""
    from graphkit.catalog import cards

    return markdown_table(
        ["method", "paper", "takes", "gives"],
        (
            [f"`{card.name}`", f"{card.title} ({card.venue})", card.takes, card.gives]
            for card in sorted(cards(), key=lambda card: card.name)
        ),
    )


def report(check: bool = False, console: Console | None = None) -> bool:
    """Renders the tables in docs and the plot from recipes, results and cards.

    Returns:
        Whether the pages were up to date; with :obj:`check` nothing is written.

    Raises:
        ResultError: If there is a result without a recipe, or one that is not as it was written.
    """
    lone = sorted(set(records.names()) - set(names()))
    if lone:
        files = ", ".join(str(records.path_of(name)) for name in lone)
        raise records.ResultError(f"results without a recipe: {files}; delete or rename them")
    recipes = [load(name) for name in names()]
    pages = [path for folder in (PAGES, PAGES / "guides") for path in sorted(folder.glob("*.md"))]
    before = {path: path.read_text() for path in pages}
    # A table names settings; a figure of other settings than the recipe's must not stand there.
    same = [each for each in recipes if not each.reproduced or not has_other_settings(each)]
    tables = {name: table(same) for name, table in TABLES.items()}
    tables |= {"gpu": gpu_table(), "scale": scale_table()}
    after = filled(before, {"results": markdown(recipes), "methods": methods_table(), **tables})
    if not check:
        for path, text in after.items():
            write_text(path, text)
        plotted = [
            {"recipe": r.name, "main": r.module.MAIN, "metrics": r.reproduced["metrics"]}
            for r in recipes
            if r.reproduced and is_rate(r.module.MAIN)
        ]
        plot(plotted, PLOT)
    if console is not None:
        console.print(markdown(recipes), highlight=False, markup=False)
        console.print(f"\n{standing(recipes)}", highlight=False, markup=False, soft_wrap=True)
    return after == before
