import ast
import csv
import pickle
import zlib
from pathlib import Path

import pytest
import torch

from graphkit.datasets import CacheError, DamagedDataError, MissingDataError
from graphkit.datasets.store.folders import visible
from graphkit.guard import bounded, reading, reason
from tests.meta.source import sources

ROOT = Path(__file__).parent.parent
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


def test_nobody_is_told_to_read_unsafely(tmp_path):
    """PyTorch's own words are how to switch off what keeps files from running code."""
    path = tmp_path / "a.pt"
    for content in (b"<!DOCTYPE html>", b"version https://git-lfs.github.com/spec/v1\n"):
        path.write_bytes(content)
        with pytest.raises(pickle.UnpicklingError, match="weights_only"):
            torch.load(path, weights_only=True)
        with pytest.raises(DamagedDataError, match="may run code") as caught, reading(path):
            torch.load(path, weights_only=True)
        assert "weights_only" not in str(caught.value)


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


READERS = {
    *("torch.load", "np.load", "np.loadtxt", "json.load", "json.loads", "pickle.load"),
    *("pickle.loads", "yaml.load", "yaml.safe_load", "tarfile.open", "zipfile.ZipFile"),
    *("Image.open", "csv.open_csv", "parquet.ParquetFile"),
}
GUARDS = ("reading", "Translated", "open_zip")
GUARDED_ABOVE = {
    "graphkit/datasets/skeletons/base.py": "loading.py: what it has made itself",
    "graphkit/datasets/store/in_place.py": "loading.py: what it has made itself",
    "graphkit/datasets/store/reading/pickles.py": "read_pickle, around its steps",
    "graphkit/text_files.py": "read_json, around its steps",
    "benchmarks/harness/recipe.py": "what it has written the line before",
    "benchmarks/harness/fingerprint.py": "a cache whose checksum fits; else it is made anew",
    "benchmarks/zoo/images/tasks.py": "the block around the archive that an image is out of",
    "benchmarks/speed/skeleton_reading.py": "files of its own, as a rival to graphkit's reader",
    "benchmarks/speed/child.py": "what its own child has written",
    "benchmarks/speed/sizes.py": "what its own parent has asked for",
    "benchmarks/speed/twins.py": "what its own parent has asked for",
}
"""Files that read without a block of their own, and who answers for what is raised."""


def unguarded(file):
    """Calls of readers in no block that translates what they raise."""
    safe = {
        id(inner)
        for node in file.nodes
        if isinstance(node, ast.With)
        if any(guard in ast.unparse(item) for item in node.items for guard in GUARDS)
        for inner in ast.walk(node)
    }
    calls = [node for node in file.nodes if isinstance(node, ast.Call) and id(node) not in safe]
    return [node for node in calls if ast.unparse(node.func) in READERS]


def test_whatever_is_read_is_read_under_guard():
    files = sources(ROOT, "graphkit", "benchmarks")
    bare = {file.name: unguarded(file) for file in files if "testing" not in file.name}
    assert {name for name, calls in bare.items() if calls} == set(GUARDED_ABOVE)


@pytest.mark.parametrize("guard", ["reading(p)", "suppress(ValueError)"])
def test_a_reader_without_guard_is_seen(tmp_path, guard):
    (tmp_path / "a.py").write_text(f"with {guard}:\n    x = torch.load(p)\n")
    (file,) = sources(tmp_path, ".")
    assert bool(unguarded(file)) == (guard != "reading(p)")


def test_the_largest_size_that_is_believed():
    bounded(1, 64 << 20)
    bounded(1 << 20, 300 << 20)
    for packed, unpacked in ((1, (64 << 20) + 1), (1 << 20, (300 << 20) + 1)):
        with pytest.raises(ValueError, match="no data set does that"):
            bounded(packed, unpacked)


def test_words_are_cut_behind_three_hundred_letters():
    assert reason(ValueError("x" * 300)) == "x" * 300
    assert reason(ValueError("x" * 301)) == "x" * 300 + " …"
    assert reason(ValueError()) == "ValueError: "
    assert reason(KeyError("a")) == "KeyError: 'a'"
    assert reason(OSError(2, "No such file")) == "No such file"
