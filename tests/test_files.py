"""Files are replaced whole or not at all."""

from __future__ import annotations

import os
import stat
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


def test_a_file_is_whole_before_it_takes_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "file.bin"
    at_sync: list[tuple[int, bool]] = []

    def look(number: int) -> None:
        at_sync.append((os.fstat(number).st_size, target.exists()))

    monkeypatch.setattr(os, "fsync", look)
    for _ in range(2):
        with replacing(str(target)) as file:
            file.write(b"all of it")
            file.seek(0)
            assert file.read() == b"all of it"
            (name,) = {path.name for path in tmp_path.iterdir()} - {"file.bin"}
            assert name.startswith(".file.bin.")
            assert name.endswith(".tmp")
    assert at_sync == [(9, False), (9, True)]
    # Others may read it, as any file that is written plainly.
    assert stat.S_IMODE(target.stat().st_mode) == 0o644


def lose(target: Path) -> None:
    with replacing(target):
        for path in target.parent.iterdir():
            path.unlink()
        raise RuntimeError("planted")


def test_a_new_file_that_is_gone_hides_no_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="planted"):
        lose(tmp_path / "file.bin")
