"""What the parts of a long run cost, kept on disk so that a kill loses no account."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from benchmarks.harness.environment import environment, peak_memory_mb, reset_peak_memory
from graphkit.files import replacing
from graphkit.guard import reading
from graphkit.json_values import number, whole
from graphkit.text_files import read_json

__all__ = ["Ledger", "read_figures"]

SPENT = ("seconds", "cpu_seconds", "peak_memory_mb", "starts")


def read_figures(file: Path) -> dict[str, Any]:
    """An account by part, and the sizes of the graph; none without a file.

    Raises:
        DamagedDataError: If it is no such account.
    """
    figures = read_json(file) if file.exists() else {}
    with reading(file, advice="delete the folder that it lies in, to begin anew"):
        for name, part in figures.items():
            if name in ("nodes", "edges"):
                whole(part, name)
            elif name != "environment":
                for key in SPENT:
                    number(part[key], f"'{key}' of {name}")
    return dict(figures)


class Ledger:
    """Seconds, processor seconds, peak memory and starts of each part, summed over all starts.

    What lies between the last entry and a kill is not in it.

    Args:
        file (Path): Where the figures are kept.

    Raises:
        DamagedDataError: If the file is there and holds no account.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.figures = read_figures(file)
        self.name = ""
        self.clock = (0.0, 0.0)

    def is_done(self, name: str) -> bool:
        """Whether a part was finished."""
        return bool(self.figures.get(name, {}).get("done"))

    def begin(self, name: str) -> None:
        """A part is started, or started again."""
        part = self.figures.setdefault(
            name, {"seconds": 0.0, "cpu_seconds": 0.0, "peak_memory_mb": 0.0, "starts": 0}
        )
        part["starts"] += 1
        self.figures["environment"] = environment()
        self.name, self.clock = name, (time.perf_counter(), time.process_time())
        reset_peak_memory()
        self.spend()

    def spend(self) -> None:
        """Enters what was spent since the last entry."""
        now = (time.perf_counter(), time.process_time())
        part = self.figures[self.name]
        part["seconds"] += now[0] - self.clock[0]
        part["cpu_seconds"] += now[1] - self.clock[1]
        part["peak_memory_mb"] = max(part["peak_memory_mb"], peak_memory_mb())
        self.clock = now
        with replacing(self.file) as out:
            out.write(json.dumps(self.figures, indent=2).encode() + b"\n")

    def end(self, facts: dict[str, Any]) -> None:
        """A part is finished, and came to this."""
        self.figures[self.name] |= {**facts, "done": True}
        self.spend()
