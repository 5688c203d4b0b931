"""What a command writes, and whether it can be written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness.outputs import write_figure


class HalfDrawn:
    """A figure whose drawing fails in the middle."""

    def savefig(self, file: Any, **options: Any) -> None:
        file.write(b"half")
        raise OSError("no space left")


def test_a_figure_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure(figsize=(1, 1))
    path = tmp_path / "new" / "plot.svg"
    write_figure(figure, path)
    before = path.read_bytes()
    assert b"<svg" in before
    with pytest.raises(OSError, match="no space left"):
        write_figure(HalfDrawn(), path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
