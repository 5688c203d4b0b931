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
    "twins": "benchmarks.speed.twins:rows",
    "factor": "benchmarks.speed.factor:rows",
    "distill": "benchmarks.speed.distill:rows",
    "scenes": "benchmarks.speed.scenes:rows",
    "skeleton": "benchmarks.speed.skeleton:rows",
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


def run_parts(names: Iterable[str], quick: bool, console: Console) -> dict[str, Any]:
    """Runs parts one after another, prints what they measured and returns it."""
    measured = {}
    for name in names:
        module, function = PARTS[name].split(":")
        with console.status(f"measuring {name}"):
            measured[name] = getattr(importlib.import_module(module), function)(quick=quick)
        table = Table("measurement", "value", title=name)
        for leaf, value in flatten(measured[name]):
            table.add_row(leaf, f"{value:.4g}" if isinstance(value, float) else str(value))
        console.print(table)
    return measured
