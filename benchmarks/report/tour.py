"""What a run of the group ``tour`` says: each thing without graphkit's part and with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

__all__ = ["ROWS", "Pair", "Row", "pairs_of", "show_tour"]

RATE, MILLISECONDS = "%", "ms"


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Args:
        subject (str): What is compared, ``without → with``.
        measure (str): What is measured.
        unit (str): ``%`` for a share, ``ms`` for milliseconds, of which less is better.
        before (tuple): Recipe and metric without graphkit's part.
        after (tuple): Recipe and metric with it.
    """

    subject: str
    measure: str
    unit: str
    before: tuple[str, str]
    after: tuple[str, str]


@dataclass(frozen=True)
class Pair:
    """A line with its figures, one per seed on both sides."""

    row: Row
    before: list[float]
    after: list[float]

    @property
    def gain(self) -> str:
        """How much better the second is: points, or how many times as fast."""
        first, second = (sum(values) / len(values) for values in (self.before, self.after))
        if self.row.unit == MILLISECONDS:
            return f"{first / second:.1f} x faster"
        return f"{100 * (second - first):+.1f}"


def twin(name: str, layer: str) -> list[Row]:
    """Accuracy and time of a layer and of its fused twin."""
    subject = f"PyG's {layer} → Fused{layer}"
    return [
        Row(
            subject,
            measure,
            unit,
            ("tour-layers", f"{name}_{kind}_pyg"),
            ("tour-layers", f"{name}_{kind}_fused"),
        )
        for measure, unit, kind in (
            ("accuracy, digits' graph", RATE, "accuracy"),
            ("a step on 120,000 edges", MILLISECONDS, "ms"),
        )
    ]


ROWS = (
    *twin("gat", "GATConv"),
    *twin("graphsage", "SAGEConv"),
    Row(
        "five tasks in a row: alone → TWP",
        "accuracy over all tasks",
        RATE,
        ("tour-finetuning", "average_performance"),
        ("tour-forgetting", "average_performance"),
    ),
    Row(
        "a small student: alone → taught",
        "accuracy, 5 labels a digit",
        RATE,
        ("tour-student", "converged_small_labels"),
        ("tour-student", "converged_small_kd"),
    ),
    Row(
        "where to start: any of 8 → LogME's",
        "accuracy, 3 labels a digit",
        RATE,
        ("tour-ranking", "random"),
        ("tour-ranking", "log_me"),
    ),
    Row(
        "density video: peaks → counting",
        "MOTA",
        RATE,
        ("tour-tracks", "mota_peaks"),
        ("tour-tracks", "mota_tbc"),
    ),
)


def pairs_of(results: Iterable[dict[str, Any]]) -> list[Pair]:
    """The lines whose both sides are among a command's results."""
    metrics = {result["recipe"]: result["metrics"] for result in results}

    def values(place: tuple[str, str]) -> list[float]:
        return metrics.get(place[0], {}).get(place[1], {}).get("values", [])

    pairs = (Pair(row, values(row.before), values(row.after)) for row in ROWS)
    return [pair for pair in pairs if pair.before and pair.after]


def figure(values: list[float], unit: str) -> str:
    """Mean and sample deviation, as people read them."""
    from statistics import fmean

    from benchmarks.harness.records import deviation

    scale = 100 if unit == RATE else 1
    # What spreads times is other work of the machine, not the seed.
    if unit == MILLISECONDS:
        return f"{fmean(values):.0f} {unit}"
    text = f"{scale * fmean(values):.1f}"
    if len(values) > 1:
        text += f" ± {scale * deviation(values):.1f}"
    return f"{text} {unit}"


def show_tour(pairs: list[Pair], console: Console) -> None:
    """Prints the table; it fits 80 columns."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("what", no_wrap=True)
    for column in ("without", "with", "gain"):
        table.add_column(column, justify="right", no_wrap=True)
    subject = ""
    for pair in pairs:
        if pair.row.subject != subject:
            subject = pair.row.subject
            table.add_row(f"[bold]{subject}[/bold]")
        sides = (figure(values, pair.row.unit) for values in (pair.before, pair.after))
        table.add_row(f"  {pair.row.measure}", *sides, pair.gain)
    console.print(table)
