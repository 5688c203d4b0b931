"""What the disk does to the cache is not blamed on the raw files, and the other way round."""

import csv
import errno
import os
import zlib

import pytest
import torch

from graphkit.datasets import CacheError, DamagedDataError, load
from graphkit.datasets.store import loading
from graphkit.testing.damage import full_disk
from tests.datasets.files import TINY, write_tu


def test_a_full_disk_is_the_caches_fault(root, cache):
    write_tu(root)
    with pytest.raises(CacheError) as caught, full_disk():
        load(TINY)
    assert isinstance(caught.value, OSError)
    assert caught.value.filename == str(cache)
    text = str(caught.value)
    assert str(cache) in text
    assert "GRAPHKIT_CACHE" in text
    assert "TINY_" not in text
    assert str(root) not in text
    assert not list((cache / "processed" / "TINY").iterdir())
    assert len(load(TINY)) == 3


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("place", ["mkdir", "TemporaryDirectory", "save", "rename"])
def test_errors_of_the_disk_name_the_cache(root, cache, monkeypatch, number, place):
    write_tu(root)

    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    where = {
        "mkdir": (loading.Path, "mkdir"),
        "TemporaryDirectory": (loading.tempfile, "TemporaryDirectory"),
        "save": (torch, "save"),
        "rename": (loading.os, "rename"),
    }
    monkeypatch.setattr(*where[place], refuse)
    with pytest.raises(CacheError, match=os.strerror(number)) as caught:
        load(TINY)
    assert caught.value.errno == number
    assert str(cache) in str(caught.value)
    assert "TINY_" not in str(caught.value)


def test_a_cache_that_is_a_file_is_named(root, tmp_path, monkeypatch):
    write_tu(root)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(CacheError, match=str(tmp_path / "file")):
        load(TINY)


def test_what_pytorch_cannot_write_is_the_caches_fault(root, cache, monkeypatch):
    """Its writer knows no error of the system."""
    write_tu(root)

    def save(*_):
        raise RuntimeError("[enforce fail at inline_container.cc:858] . unexpected pos 64 vs 0")

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(CacheError, match=str(cache)):
        load(TINY)


def test_what_a_reader_raises_is_the_files_fault(root, cache, monkeypatch):
    write_tu(root)
    for error in (TypeError("a"), AttributeError("b"), csv.Error("c"), zlib.error("d")):

        def process(_, error=error):
            raise error

        monkeypatch.setattr("graphkit.datasets.store.in_place.TUDataset.process", process)
        with pytest.raises(DamagedDataError, match=f"{type(error).__name__}: ") as caught:
            load(TINY)
        assert str(root) in str(caught.value)


def test_what_pytorch_counts_is_said_in_plain_words(root, cache, monkeypatch):
    write_tu(root)

    def refuse(*_, **__):
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")

    monkeypatch.setattr(torch, "save", refuse)
    with pytest.raises(CacheError, match="could not be written whole, as on a full disk") as caught:
        load(TINY)
    assert "unexpected pos" not in str(caught.value)
    assert str(cache) in str(caught.value)
