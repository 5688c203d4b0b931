"""The parts of ``python -m benchmarks speed`` beside the kernels: layers, losses, the loop."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

PARTS = {
    "loop": "benchmarks.speed.loop:run",
    "paths": "benchmarks.speed.paths:run",
    "sizes": "benchmarks.speed.sizes:rows",
    "growth": "benchmarks.speed.growth:rows",
    "order": "benchmarks.speed.order:rows",
    "epochs": "benchmarks.speed.epochs:rows",
    "twins": "benchmarks.speed.twins:rows",
    "factor": "benchmarks.speed.factor:rows",
    "distill": "benchmarks.speed.distill:rows",
    "scenes": "benchmarks.speed.scenes:rows",
    "skeleton": "benchmarks.speed.skeleton:rows",
    "sampling": "benchmarks.speed.sampling:rows",
}


def flatten(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """``(name, value)`` of every leaf of nested dictionaries and lists."""
    items: Iterable[tuple[Any, Any]]
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        yield name, value
        return
    for key, inner in items:
        yield from flatten(inner, f"{name} {key}".strip())


def text_of(value: Any) -> str:
    """A value as people read it: a spread as its median, and the quartiles behind it."""
    if isinstance(value, dict) and value.keys() == {"median", "low", "high"}:
        return f"{value['median']:.4g} ({value['low']:.4g}-{value['high']:.4g})"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


RATIOS = ("times_faster", "times_less_processor")
IDENTITY = ("what", "size", "rival")


def table_of(name: str, measured: Any) -> Table:
    """A line per measurement where there is a list of them, else a line per value.

    Measurements beside a rival's show what was measured and how many times better it was; times,
    threads, load and errors are in the JSON file.
    """
    if not isinstance(measured, list):
        table = Table("measurement", "value", title=name)
        for leaf, value in flatten(measured):
            table.add_row(leaf, text_of(value))
        return table
    beside = any(key in row for row in measured for key in RATIOS)
    rows = [compared(row) if beside else row for row in measured]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    texts = {key: [text_of(row[key]) if key in row else "-" for row in rows] for key in columns}
    # What is the same everywhere stands once below: the table is wide enough without it.
    same = {key: text[0] for key, text in texts.items() if len(text) > 1 and len(set(text)) == 1}
    caption = ", ".join(f"{key.replace('_', ' ')}: {text}" for key, text in same.items())
    if beside:
        caption = "; ".join(filter(None, [caption, "times and errors: see the JSON file"]))
    table = Table(title=name, caption=caption or None)
    columns = [key for key in columns if key not in same]
    for key in columns:
        table.add_column(key.replace("_", " "), overflow="fold")
    for cells in zip(*(texts[key] for key in columns), strict=True):
        table.add_row(*cells)
    return table


def compared(row: dict[str, Any]) -> dict[str, Any]:
    """What a measurement says to people: what was measured, and the ratios to the rival's."""
    names = [str(row[key]) for key in IDENTITY if row.get(key) is not None]
    shown: dict[str, Any] = {"what": ", ".join(names)}
    for key in RATIOS:
        if key in row:
            spread = row[key]
            shown[key] = f"{spread['median']:.2f} ({spread['low']:.2f}-{spread['high']:.2f})"
    if row.get("megabytes") and row.get("rival_megabytes"):
        shown["times_less_memory"] = f"{row['rival_megabytes'] / row['megabytes']:.1f}"
    return shown


def run_parts(names: Iterable[str], quick: bool, console: Console) -> dict[str, Any]:
    """Runs parts one after another, prints what they measured and returns it."""
    measured = {}
    for name in names:
        module, function = PARTS[name].split(":")
        with console.status(f"measuring {name}"):
            measured[name] = getattr(importlib.import_module(module), function)(quick=quick)
        console.print(table_of(name, measured[name]))
    return measured
