"""Where files are looked for, and what of them is seen."""

import errno
from pathlib import Path

import pytest

from graphkit.datasets.store.errors import CacheError
from graphkit.datasets.store.folders import (
    cache_root,
    data_root,
    search_path,
    using_cache,
    visible,
)


@pytest.fixture(autouse=True)
def _environment(monkeypatch, tmp_path):
    monkeypatch.setenv("GRAPHKIT_DATA", str(tmp_path / "d"))
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "c"))


def test_the_given_folder_comes_first_then_downloads(tmp_path):
    downloads = tmp_path / "c" / "data"
    assert search_path() == [tmp_path / "d", downloads]
    assert search_path(tmp_path / "e") == [tmp_path / "e", downloads]
    assert search_path(downloads) == [downloads]
    assert search_path("~/x") == [Path.home() / "x", downloads]


def test_a_tilde_is_the_home_folder(monkeypatch):
    monkeypatch.setenv("GRAPHKIT_DATA", "~/d")
    monkeypatch.setenv("GRAPHKIT_CACHE", "~/c")
    assert (data_root(), cache_root()) == (Path.home() / "d", Path.home() / "c")
    monkeypatch.setenv("GRAPHKIT_DATA", "")
    assert data_root() == Path.home() / "c" / "data"
    monkeypatch.setenv("GRAPHKIT_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_root() == Path.home() / ".cache" / "graphkit"


def test_errors_of_the_system_name_the_cache(tmp_path):
    full = OSError(errno.ENOSPC, "full")
    with (
        pytest.raises(CacheError, match=r"cannot write to the cache folder.*full") as caught,
        using_cache(),
    ):
        raise full
    assert caught.value.__cause__ is full
    assert caught.value.filename == str(tmp_path / "c")
    own = CacheError("own words")
    for error in (own, OSError("no number"), ValueError("other")):
        with pytest.raises(type(error)) as again, using_cache():
            raise error
        assert again.value is error


def test_hidden_files_are_not_seen(tmp_path):
    for name in ("b.txt", "a.txt", ".hidden", "__MACOSX/c.txt", "folder/d.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    seen = visible(reversed([*tmp_path.rglob("*")]))
    assert [path.name for path in seen] == ["a.txt", "b.txt", "d.txt"]
