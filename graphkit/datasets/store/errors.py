"""What can go wrong with the files of a data set."""

# fingerprint: not counted

from __future__ import annotations

__all__ = ["DamagedDataError", "MissingDataError"]


class MissingDataError(FileNotFoundError):
    """Files of a data set are not there; says which, where they belong and how to get them."""


class DamagedDataError(ValueError):
    """A raw file of a data set is truncated, unreadable or not what was published."""
