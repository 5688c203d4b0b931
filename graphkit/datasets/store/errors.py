"""What can go wrong with the files of a data set, and with the cache."""

# fingerprint: not counted

from __future__ import annotations

import errno
from pathlib import Path

from graphkit.guard import NamedFault

__all__ = ["CacheError", "MissingDataError"]

DISK_ERRORS = frozenset(
    {
        errno.EACCES,
        errno.EDQUOT,
        errno.EEXIST,
        errno.EFBIG,
        errno.ENOSPC,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
    }
)
"""What the system says of a folder that cannot be written to, and never of a damaged file."""


class MissingDataError(NamedFault, FileNotFoundError):
    """Files of a data set are not there; says which, where they belong and how to get them."""


class CacheError(NamedFault, OSError):
    """The cache folder cannot be written to: full, over quota, read-only or not permitted."""

    def __str__(self) -> str:
        return str(self.args[0])


def cache_error(folder: Path, error: BaseException) -> CacheError:
    """An error that names the cache and says what to do."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if "inline_container" in reason:
        # PyTorch's own writer counts bytes and does not pass on what the system said.
        reason = "a file could not be written whole, as on a full disk"
    made = CacheError(
        f"cannot write to the cache folder '{folder}': {reason}. The raw files are not to blame. "
        "Make room there, or set GRAPHKIT_CACHE to a folder that has some and that you may write "
        "to."
    )
    made.errno, made.filename = getattr(error, "errno", None), str(folder)
    return made


def disk_error(error: BaseException | None) -> OSError | None:
    """The first error in a chain that is about the disk and not about what a file holds."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None
