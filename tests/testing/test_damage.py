import gzip
import resource

import pytest
import torch

from graphkit.testing.damage import (
    SPELLINGS,
    add_strays,
    cut,
    full_disk,
    make_hole,
    respell,
    text_files,
)


def test_no_byte_can_be_written_onto_a_full_disk(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with full_disk():
        with pytest.raises(OSError, match="too large"):
            (tmp_path / "a").write_text("x")
        with pytest.raises(RuntimeError):
            torch.save({"a": torch.ones(3)}, tmp_path / "b.pt")
    assert resource.getrlimit(resource.RLIMIT_FSIZE) == before
    (tmp_path / "a").write_text("x")


def test_the_limit_goes_with_an_error(tmp_path):
    with pytest.raises(KeyError), full_disk():
        raise KeyError
    (tmp_path / "a").write_text("x")


@pytest.mark.parametrize("size", [1, 2, 100, 50_000])
@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_holes(tmp_path, size, place):
    path = tmp_path / "a"
    path.write_bytes(b"x" * size)
    make_hole(path, place)
    content = path.read_bytes()
    assert len(content) == size
    assert content.count(b"\0") == min(4096, max(size // 2, 1))
    assert content.startswith(b"\0") == (place == 0.0 or (place < 1 and size == 2) or size == 1)
    cut(path)
    assert len(path.read_bytes()) == size // 2


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spellings_hold_the_same_words(tmp_path, spelling):
    text = b"1, 2\n3, 4\n"
    (tmp_path / "a.txt").write_bytes(text)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text))
    (tmp_path / "a.npz").write_bytes(text)
    paths = text_files(tmp_path)
    assert [path.name for path in paths] == ["a.csv.gz", "a.txt"]
    for path in paths:
        respell(path, spelling)
    packed = gzip.decompress((tmp_path / "a.csv.gz").read_bytes())
    assert packed == (tmp_path / "a.txt").read_bytes() != text
    assert packed.decode("utf-8-sig").split() == text.decode().split()


def test_strays_leave_the_files_alone(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "README.txt").write_text("mine")
    add_strays(tmp_path)
    names = {path.name for path in (tmp_path / "raw").iterdir()}
    assert {".gitkeep", "._README.txt", "stray.npz"} <= names
    assert (tmp_path / "raw" / "README.txt").read_text() == "mine"
