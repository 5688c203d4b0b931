"""How fast raw skeletons are read: ``python -m benchmarks.speed.skeleton_reading``.

Writes files in the raw format of NTU RGB+D, in the sizes of its clips, to a temporary folder and
reads them back, besides the same with a loop over lines and with ``numpy.loadtxt``.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from graphkit.datasets.skeletons.ntu.raw import NUM_JOINTS, read_skeleton

FRAMES, FILES, ROUNDS = 80, 20, 3


def text(frames: int, generator: np.random.Generator) -> str:
    """One body over some frames, each number with seven digits."""
    lines = [str(frames)]
    for _ in range(frames):
        lines += ["1", "72057594037931101 0 1 1 1 1 0 0.02764709 0.05745083 2", str(NUM_JOINTS)]
        numbers = generator.normal(size=(NUM_JOINTS, 11)) * [*[1] * 3, *[300] * 4, *[1] * 4]
        lines += [" ".join(f"{value:.7g}" for value in row) + " 2" for row in numbers]
    return "\r\n".join(lines) + "\r\n"


def by_line(path: Path) -> np.ndarray:
    """Positions of all joints, one line after another."""
    rows = [line.split()[:3] for line in path.read_text().splitlines() if line.count(" ") == 11]
    return np.array([[float(word) for word in row] for row in rows], dtype=np.float32)


def by_loadtxt(path: Path) -> np.ndarray:
    """Positions of all joints, by :func:`numpy.loadtxt`."""
    lines = [line for line in path.read_text().splitlines() if line.count(" ") == 11]
    return np.loadtxt(lines, usecols=(0, 1, 2), dtype=np.float32)


def speed(read: Callable[[Path], object], paths: list[Path]) -> float:
    """Megabytes per second of processor time, the best of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        for path in paths:
            read(path)
        best = min(best, time.process_time() - started)
    return sum(path.stat().st_size for path in paths) / best / 1e6


def main() -> None:
    """Prints a table of readers and their speeds."""
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.skeleton" for i in range(FILES)]
        for path in paths:
            path.write_text(text(FRAMES, generator), newline="")
        wanted = read_skeleton(paths[0]).joints.reshape(-1, 3)
        assert np.allclose(wanted, by_line(paths[0]))
        assert np.allclose(wanted, by_loadtxt(paths[0]))
        table = Table("reader", "MB/s of processor time")
        readers: dict[str, Callable[[Path], object]] = {
            "read_skeleton": read_skeleton,
            "lines": by_line,
            "loadtxt": by_loadtxt,
        }
        for name, read in readers.items():
            table.add_row(name, f"{speed(read, paths):.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
