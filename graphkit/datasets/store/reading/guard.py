"""Turns whatever a reader raises into an error that names the file."""

# fingerprint: not counted

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from graphkit.datasets.store.errors import CacheError, DamagedDataError, MissingDataError

__all__ = ["bounded", "reading", "visible"]

GROWTH = 300
"""How many times its own size a file may unpack to; ModelNet10's voxels need 264."""
ROOM = 64 << 20
"""What any file may unpack to, in bytes."""
LONGEST = 300
OWN = (DamagedDataError, MissingDataError, CacheError, ImportError)


@contextmanager
def reading(path: str | os.PathLike[str], place: str = "", advice: str = "") -> Iterator[None]:
    """Whatever is raised inside becomes an error about a file, and a place in it.

    Parsers of other people raise what they like on bytes that nobody thought of: a list of
    types is never complete.  A missing package is no fault of the file and passes.

    Args:
        path (str or Path): The file.
        place (str, optional): Where in it. (default: nowhere in particular)
        advice (str, optional): What the error says besides. (default: nothing)

    Raises:
        DamagedDataError: For every exception but those that name their file already.
    """
    try:
        yield
    except OWN:
        raise
    except Exception as error:
        where = f", {place}" if place else ""
        raise DamagedDataError(f"cannot read '{path}'{where}: {reason(error)}{advice}") from error


def reason(error: Exception) -> str:
    """What an exception says, with its type where that alone tells something."""
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    text = getattr(error, "strerror", None) or " ".join(str(error).split())
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
    plain = isinstance(error, ValueError | OSError) and text
    return text if plain else f"{type(error).__name__}: {text}"


def bounded(packed: int, unpacked: int) -> None:
    """Refuses what would unpack to far more than data do, before any memory is taken.

    Raises:
        ValueError: If the unpacked size is over 64 MiB and over 300 times the packed one.
    """
    if unpacked > max(ROOM, GROWTH * packed):
        raise ValueError(f"its {packed:,} bytes unpack to {unpacked:,}: no data set does that")


def visible(paths: Iterable[Path]) -> list[Path]:
    """Files in order, without the hidden ones that systems leave beside them."""
    return sorted(
        path
        for path in paths
        if not path.name.startswith(".") and "__MACOSX" not in path.parts and path.is_file()
    )
