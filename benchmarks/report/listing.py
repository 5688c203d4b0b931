"""What there is to run: the table and the JSON of ``python -m benchmarks list``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.harness import sources
from benchmarks.harness.recipe import Recipe, load, names
from benchmarks.report.report import number

__all__ = ["Listed", "listing", "show_listing"]


@dataclasses.dataclass(frozen=True)
class Listed:
    """A line of the list.

    Args:
        name (str): What to type after ``run``.
        dataset (str): Its data set.
        group (str): Its group, or where there is none, its protocol; both can be typed, too.
        metric (str): The main metric.
        reported (float, optional): The published figure.
        reproduced (float, optional): Ours.
        about (str): One sentence.
    """

    name: str
    dataset: str
    group: str
    metric: str
    reported: float | None
    reproduced: float | None
    about: str

    def says(self, word: str) -> bool:
        """Whether a word occurs in the line, regardless of case."""
        text = " ".join((self.name, self.dataset, self.group, self.metric, self.about))
        return word.lower() in text.lower()


def listed(recipe: Recipe, name: str) -> Listed:
    """A recipe as a line."""
    main = recipe.module.MAIN
    ours = recipe.reproduced.get("metrics", {}).get(main)
    return Listed(
        name,
        recipe.dataset,
        recipe.group or recipe.protocol,
        main,
        (recipe.reported.get(main) or {}).get("mean"),
        None if ours is None else ours["mean"],
        recipe.about,
    )


def listing(
    words: Iterable[str] = (), group: str | None = None, dataset: str | None = None
) -> list[Listed]:
    """All recipes of this checkout and of installed packages that fit every filter.

    Args:
        words (iterable of str, optional): Words that must all occur in the line.
        group (str, optional): A group or a protocol.
        dataset (str, optional): A data set, regardless of case.
    """
    wanted = list(words)
    lines = (listed(load(name), name) for name in (*names(), *sources.installed()))
    return [
        line
        for line in lines
        if all(line.says(word) for word in wanted)
        and group in (None, line.group)
        and (dataset is None or dataset.lower() == line.dataset.lower())
    ]


def show_listing(lines: list[Listed], console: Console) -> None:
    """Prints the list, group after group; what can be typed is never cut."""
    groups: dict[str, list[Listed]] = {}
    for line in lines:
        groups.setdefault(line.group, []).append(line)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    longest = max([6, *(len(line.name) + 2 for line in lines), *map(len, groups)])
    table.add_column("group, and its recipes", no_wrap=True, min_width=longest)
    table.add_column("data set", no_wrap=True)
    table.add_column("result", justify="right", no_wrap=True)
    for group, members in sorted(groups.items()):
        table.add_row(f"[bold]{group}[/bold]")
        for line in members:
            mean = line.reproduced
            figure = "" if mean is None else number(line.metric, {"mean": mean, "std": None})
            table.add_row(f"  {line.name}", line.dataset, figure)
    console.print(table)
    note = f"{len(lines)} recipes; the result is that of the main metric. More: --json FILE"
    console.print(note, soft_wrap=True, highlight=False)
