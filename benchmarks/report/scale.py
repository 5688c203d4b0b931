"""What ``python -m benchmarks scale --growth`` measured, as a table for docs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.report.markdown import markdown_table
from graphkit.guard import reading
from graphkit.text_files import read_json

__all__ = ["scale_table"]

FILE = Path(__file__).parent.parent / "results" / "scale.json"
PARTS = {
    "writing": "written to disk, {megabytes:,.0f} MB",
    "sampling": "{edges:,} edges sampled at [15, 10]",
    "training": "an epoch of {seeds:,} seeds at [10, 10]",
    "inference": "outputs of all nodes, accuracy {accuracy:.3f}",
}


def scale_table(file: Path = FILE) -> str:
    """A row per size and part.

    Args:
        file (Path, optional): What the command wrote. (default:
            ``benchmarks/results/scale.json``)

    Raises:
        DamagedDataError: If the file is not such as the command writes.
    """
    if not file.exists():
        return "Not measured: run `python -m benchmarks scale --growth FOLDER --record`."
    found = read_json(file)
    with reading(file, advice="run `python -m benchmarks scale --growth FOLDER --record`"):
        cells = [line(row, part, row[part]) for row in found["rows"] for part in PARTS]
        head = ["nodes, edges", "what", "seconds", "processor seconds", "peak resident, GiB"]
        where = found["environment"]
        note = f"{where['processor']}, {where['threads']} threads, commit {where['commit']}"
        same = ", ".join(f"{row['nodes']:,}" for row in found["undisturbed"])
        if same:
            note += f"; without kills the same bits came out at {same} nodes"
        return f"{markdown_table(head, cells)}\n\nOn {note}."


def line(row: dict[str, Any], part: str, spent: dict[str, Any]) -> list[str]:
    """The cells of one part of one size."""
    killed = f", killed {spent['starts'] - 1} time(s)" if spent["starts"] > 1 else ""
    return [
        f"{row['nodes']:,}, {row['edges']:,}",
        PARTS[part].format(**spent) + killed,
        f"{spent['seconds']:,.1f}",
        f"{spent['cpu_seconds']:,.1f}",
        f"{spent['peak_memory_mb'] / 1024:.1f}",
    ]
