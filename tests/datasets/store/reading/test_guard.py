import csv
import zlib

import pytest

from graphkit.datasets import CacheError, DamagedDataError, MissingDataError
from graphkit.datasets.store.reading.guard import bounded, reading, visible

RAISED = [
    zlib.error("bad"),
    NotImplementedError("that compression method is not supported"),
    RuntimeError("File 'x' is encrypted"),
    AttributeError("no shape"),
    TypeError("list indices"),
    csv.Error("line contains NUL"),
    KeyError("x_train"),
    IndexError("out of range"),
    ZeroDivisionError("division"),
    OverflowError("too large"),
    MemoryError(),
    RecursionError("maximum recursion depth exceeded"),
    AssertionError(),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    ValueError("a\nlong " + "x" * 5000),
    StopIteration(),
    Exception("anything"),
]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_whatever_is_raised_names_file_and_place(error):
    with pytest.raises(DamagedDataError) as caught, reading("some.file", "row 3"):
        raise error
    text = str(caught.value)
    assert text.startswith("cannot read 'some.file', row 3: ")
    assert len(text.splitlines()) == 1
    assert len(text) < 400
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error", [DamagedDataError("a"), MissingDataError("b"), CacheError("c"), ImportError("rdkit")]
)
def test_what_names_its_fault_passes(error):
    with pytest.raises(type(error)) as caught, reading("some.file"):
        raise error
    assert caught.value is error


def test_nobody_is_kept_from_stopping():
    with pytest.raises(KeyboardInterrupt), reading("some.file"):
        raise KeyboardInterrupt


def test_sizes_are_bounded():
    bounded(10, 64 << 20)
    bounded(2_042_085, 529_131_544)  # ModelNet10's voxels
    with pytest.raises(ValueError, match="unpack to 2,600,000,000"):
        bounded(1_000_000, 2_600_000_000)


def test_hidden_files_are_not_seen(tmp_path):
    for name in ("b.txt", "a.txt", "._a.txt", ".gitkeep", "__MACOSX/c.txt", "folder.txt/d"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    paths = visible(tmp_path.rglob("*.txt"))
    assert [path.name for path in paths] == ["a.txt", "b.txt"]
