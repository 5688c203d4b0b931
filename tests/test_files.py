"""Files are replaced whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphkit.files import replacing


def fail_half_way(target: Path) -> None:
    with replacing(target) as file:
        file.write(b"half")
        raise RuntimeError("planted")


def test_a_failed_block_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.bin"
    with replacing(target) as file:
        file.write(b"old")
    with pytest.raises(RuntimeError, match="planted"):
        fail_half_way(target)
    assert target.read_bytes() == b"old"
    assert list(target.parent.iterdir()) == [target]
