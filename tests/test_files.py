"""Files are replaced whole or not at all."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from graphkit.files import is_stream, replacing


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


def test_a_pipe_stays_and_gets_what_was_written(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(RuntimeError, match="planted"):
            fail_half_way(pipe)
        with replacing(pipe) as file:
            file.write(b"all of it")
        assert os.read(reader, 99) == b"all of it"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


PROGRAM = """
from graphkit.files import replacing
print("before")
with replacing("/dev/stdout") as file:
    file.write(b"{}\\n")
print("after")
"""


def test_json_for_the_screen_goes_there_between_the_lines(tmp_path: Path) -> None:
    destination = os.readlink("/dev/stdout")
    shown = tmp_path / "shown.txt"
    with shown.open("w") as screen:
        subprocess.run([sys.executable, "-c", PROGRAM], stdout=screen, check=True)
    assert shown.read_text().splitlines() == ["before", "{}", "after"]
    assert os.readlink("/dev/stdout") == destination


def test_what_is_a_stream(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"")
    link.symlink_to("/dev/null")
    assert [is_stream(path) for path in (Path("/dev/null"), link)] == [True, True]
    assert not any(is_stream(path) for path in (file, tmp_path, tmp_path / "none"))


def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    folder, link = tmp_path / "large disk", tmp_path / "results.json"
    link.symlink_to(folder / "kept.json")
    for content in (b"one", b"two"):
        with replacing(link) as file:
            file.write(content)
        assert link.is_symlink()
        assert (folder / "kept.json").read_bytes() == content
