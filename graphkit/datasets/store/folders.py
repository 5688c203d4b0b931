"""Where raw files are read from and processed files are written to."""

# fingerprint: not counted

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from graphkit.datasets.store.errors import CacheError, cache_error

__all__ = ["cache_root", "data_root", "refusal", "using_cache", "visible"]


def cache_root() -> Path:
    """Folder for processed and downloaded files: ``GRAPHKIT_CACHE``, else the user's cache."""
    folder = os.environ.get("GRAPHKIT_CACHE")
    if folder:
        return Path(folder).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "graphkit"


def data_root() -> Path:
    """Folder of the raw data sets: ``GRAPHKIT_DATA``, else ``data`` in :func:`cache_root`.

    Nothing is ever written to ``GRAPHKIT_DATA``.
    """
    folder = os.environ.get("GRAPHKIT_DATA")
    return Path(folder).expanduser() if folder else cache_root() / "data"


def search_path(root: str | os.PathLike[str] | None = None) -> list[Path]:
    """Folders a data set is looked for in: the given or default root, then downloads."""
    first = data_root() if root is None else Path(root).expanduser()
    downloads = cache_root() / "data"
    return [first] if first == downloads else [first, downloads]


def refusal(folder: Path) -> str:
    """What the system says of a folder that may not be looked into; nothing if it may, or if it is
    not there."""
    try:
        os.scandir(folder).close()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return error.strerror or str(error)
    return ""


@contextmanager
def using_cache() -> Iterator[None]:
    """What the system says of the cache folder becomes an error that names it."""
    try:
        yield
    except CacheError:
        raise
    except OSError as error:
        # Errors of graphkit's own have no number of the system.
        if error.errno is None:
            raise
        raise cache_error(cache_root(), error) from error


def visible(paths: Iterable[Path]) -> list[Path]:
    """Files in order, without the hidden ones that systems leave beside them."""
    return sorted(
        path
        for path in paths
        if not path.name.startswith(".") and "__MACOSX" not in path.parts and path.is_file()
    )
