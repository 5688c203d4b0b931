"""Turns whatever a reader raises into an error that names the file."""

# fingerprint: not counted

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from typing import Any

__all__ = ["DamagedDataError", "NamedFault", "Translated", "bounded", "reading", "reason"]

GROWTH = 300
"""How many times its own size a file may unpack to; ModelNet10's voxels need 264."""
ROOM = 64 << 20
"""What any file may unpack to, in bytes."""
LONGEST = 300


class NamedFault(Exception):  # noqa: N818
    """An error whose words say which file, or folder, is at fault: no guard rewords it."""


class DamagedDataError(NamedFault, ValueError):
    """A file is truncated, unreadable, or not what was published or written."""


class Translated:
    """A block out of which no exception comes as it was raised.

    Parsers of other people raise what they like on bytes that nobody thought of: a list of types
    is never complete.  What already names its fault passes, and so does a missing package.

    Args:
        translate (callable): Gives the exception to raise instead; nothing lets it pass.
    """

    def __init__(self, translate: Callable[[Exception], Exception | None]) -> None:
        self.translate = translate

    def __enter__(self) -> None:
        """Nothing is to be done before."""

    def __exit__(self, _: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, NamedFault | ImportError):
            instead = self.translate(error)
            if instead is not None:
                raise instead from error


def reading(path: str | os.PathLike[str], place: str = "", advice: str = "") -> Translated:
    """A block in which whatever is raised becomes an error about a file, and a place in it.

    Args:
        path (str or Path): The file.
        place (str, optional): Where in it. (default: nowhere in particular)
        advice (str, optional): What to do. (default: nothing is said)

    Raises:
        DamagedDataError: For every exception but those that name their file already.
    """
    where, end = (f", {place}" if place else ""), (f"; {advice}" if advice else "")
    return Translated(
        lambda error: DamagedDataError(f"cannot read '{path}'{where}: {reason(error)}{end}")
    )


def reason(error: Exception) -> str:
    """What an exception says, with its type where that alone tells something."""
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    text = getattr(error, "strerror", None) or " ".join(str(error).split())
    if isinstance(error, pickle.UnpicklingError) and "weights" in text.lower():
        # PyTorch's own words advise to read what may run code.
        return "it is no file of tensors, or holds classes that may run code"
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
