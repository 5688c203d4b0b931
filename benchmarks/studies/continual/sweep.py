"""Sweeps over settings of a recipe: every combination of the values that are given.

python -m benchmarks.studies.continual.sweep twp-gat-digits strategy.task_weight=10,100
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.harness.errors import RecipeError
from benchmarks.harness.progress import Display
from benchmarks.harness.recipe import load
from benchmarks.harness.runner import Options, run_recipe, write_text

SHOWN = ("average_performance", "average_forgetting", "backward_transfer", "forward_transfer")


def combinations(ranges: Iterable[str]) -> Iterator[list[str]]:
    """Assignments ``key=value`` for every combination of ``key=value,value,…``."""
    lists = []
    for text in ranges:
        key, sign, values = text.partition("=")
        if not sign or not values:
            raise RecipeError(f"a sweep takes key=value,value,…, got '{text}'")
        lists.append([f"{key}={value}" for value in values.split(",")])
    for assignments in itertools.product(*lists):
        yield list(assignments)


def sweep(name: str, ranges: list[str], seeds: int, out: Path) -> list[dict[str, Any]]:
    """Runs a recipe with every combination; returns settings and metrics."""
    points = [(assignments, load(name).set(assignments)) for assignments in combinations(ranges)]
    rows = []
    with Display(seeds * len(points)) as display:
        for number, (assignments, recipe) in enumerate(points):
            result = run_recipe(recipe, Options(seeds, out / str(number)), display)
            rows.append({"settings": assignments, "metrics": result["metrics"]})
    return rows


def show(rows: list[dict[str, Any]], console: Console) -> None:
    """Prints one line per combination, in per cent."""
    table = Table(title="mean ± standard deviation over seeds, in per cent")
    for column in ("settings", *SHOWN):
        table.add_column(column)
    for row in rows:
        cells = [row["metrics"][name] for name in SHOWN]
        texts = [f"{100 * c['mean']:.1f} ± {100 * c['std']:.1f}" for c in cells]
        table.add_row("\n".join(row["settings"]), *texts)
    console.print(table)


def main(arguments: list[str] | None = None) -> None:
    """Sweeps, prints the table and writes the rows as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("ranges", nargs="+", metavar="key=value,value,…")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/sweep"))
    options = parser.parse_args(arguments)
    rows = sweep(options.recipe, options.ranges, options.seeds, options.out)
    show(rows, Console())
    write_text(options.out / "sweep.json", json.dumps(rows, indent=2) + "\n")
    Console().print(f"rows: {(options.out / 'sweep.json').resolve()}", highlight=False)


if __name__ == "__main__":
    main()
