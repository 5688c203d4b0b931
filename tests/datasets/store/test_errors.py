"""Errors of the disk, told from those of what a file holds."""

import errno

import pytest

from graphkit.datasets.store.errors import CacheError, MissingDataError, cache_error, disk_error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (RuntimeError("odd"), "odd"),
        (RuntimeError(), "RuntimeError"),
        (
            RuntimeError("inline_container.cc:863 ... 12 vs 64"),
            "a file could not be written whole, as on a full disk",
        ),
    ],
)
def test_the_cache_is_named_with_the_reason(tmp_path, error, reason):
    made = cache_error(tmp_path, error)
    assert isinstance(made, CacheError)
    start = f"cannot write to the cache folder '{tmp_path}': {reason}. The raw files are not to"
    assert str(made).startswith(start)
    assert "set GRAPHKIT_CACHE" in str(made)
    assert made.errno == getattr(error, "errno", None)
    assert made.filename == str(tmp_path)


def chained(first, second, context=False):
    """The second error, as if raised from the first or while it was handled."""
    if context:
        second.__context__ = first
    else:
        second.__cause__ = first
    return second


def test_the_first_error_about_the_disk_in_a_chain():
    full, gone = OSError(errno.ENOSPC, "full"), FileNotFoundError(errno.ENOENT, "gone")
    assert disk_error(full) is full
    assert disk_error(gone) is None
    assert disk_error(None) is None
    assert disk_error(ValueError("x")) is None
    assert disk_error(chained(full, ValueError("x"))) is full
    assert disk_error(chained(full, KeyError("y"), context=True)) is full
    circle = ValueError("round")
    circle.__cause__ = chained(circle, KeyError("y"))
    assert disk_error(circle) is None


@pytest.mark.parametrize(
    "name", ["EACCES", "EDQUOT", "EEXIST", "EFBIG", "ENOTDIR", "EPERM", "EROFS"]
)
def test_what_the_system_says_of_a_folder(name):
    error = OSError(getattr(errno, name), "no")
    assert disk_error(error) is error


def test_missing_data_is_a_missing_file():
    assert issubclass(MissingDataError, FileNotFoundError)
