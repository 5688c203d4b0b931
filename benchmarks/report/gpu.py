"""What ``python -m benchmarks gpu`` measured, as a table for docs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.report.markdown import markdown_table
from graphkit.guard import reading
from graphkit.text_files import read_json

__all__ = ["gpu_table"]

FILE = Path(__file__).parent.parent / "results" / "gpu.json"
CONTENDERS = ("ours", "PyG", "PyG, compiled")


def gpu_table(file: Path = FILE) -> str:
    """A row per layer, graph and dtype; or that no GPU has been at hand.

    Args:
        file (Path, optional): What the command wrote. (default: ``benchmarks/results/gpu.json``)

    Raises:
        DamagedDataError: If the file is not such as the command writes.
    """
    if not file.exists():
        return (
            "Not measured: no GPU was at hand. `python -m benchmarks gpu --json "
            "benchmarks/results/gpu.json` checks, tunes and times the kernels in eight minutes."
        )
    found = read_json(file)
    with reading(file, advice="measure it again: `python -m benchmarks gpu --json` with its name"):
        right = sum(check["right"] and "error" in check for check in found["checks"])
        head = ["layer", "edges", "dtype", "passes", *(f"{who}, ms" for who in CONTENDERS)]
        table = markdown_table([*head, "share of copy"], (row(time) for time in found["times"]))
        no_gpu = "a CPU, in Triton's interpreter: times mean nothing"
        where = found["environment"].get("device", no_gpu)
        copy = found["copy_bytes_per_second"] / 1e9
        return f"On {where}; {right} checks right; a copy moves {copy:.0f} GB/s.\n\n{table}"


def row(time: dict[str, Any]) -> list[str]:
    """The cells of one measurement; a dash where there is none."""
    share = time.get("share_of_copy")
    return [
        time["what"],
        f"{time['edges']:,}",
        time.get("dtype", "–"),
        "–" if "skipped" in time else "forward + backward" if time["backward"] else "forward",
        *(f"{time[f'{who}, ms']:.3g}" if f"{who}, ms" in time else "–" for who in CONTENDERS),
        "–" if share is None else f"{100 * share:.0f} %",
    ]
