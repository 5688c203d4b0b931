"""Zip archives, and the tensors that PyTorch keeps in them: looked at before they are believed."""

# fingerprint: not counted

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from graphkit.guard import bounded, reading

__all__ = ["open_zip", "read_tensors", "read_zip"]


@contextmanager
def open_zip(path: str | os.PathLike[str], advice: str = "") -> Iterator[zipfile.ZipFile]:
    """An archive whose members unpack to a sensible size.

    Args:
        path (str or Path): The file.
        advice (str, optional): What the error says to do. (default: nothing)

    Raises:
        DamagedDataError: If it is no archive, or one of those that fill the memory.
    """
    with reading(path, advice=advice):
        packed = os.stat(path).st_size
        with Path(path).open("rb") as file:
            start = file.read(64).lstrip()
            if start[:1] == b"<":
                raise ValueError("it is a web page, not an archive")
            with zipfile.ZipFile(file) as archive:
                bounded(packed, sum(member.file_size for member in archive.infolist()))
                yield archive


def read_zip(path: str | os.PathLike[str], advice: str = "") -> int:
    """The number of members, each of which has the checksum that it states.

    Args:
        path (str or Path): The file.
        advice (str, optional): What the error says to do. (default: nothing)
    """
    with open_zip(path, advice) as archive:
        broken = archive.testzip()
        if broken is not None:
            raise ValueError(f"'{broken}' in it is damaged")
        return len(archive.namelist())


def read_tensors(path: str | os.PathLike[str], advice: str = "", **options: Any) -> Any:
    """What :func:`torch.load` reads without running code.

    Args:
        path (str or Path): The file.
        advice (str, optional): What the error says to do. (default: nothing)
        **options (optional): As for :func:`torch.load`.

    Raises:
        DamagedDataError: If it cannot be read, has another checksum than it states, would run
            code, or would fill the memory.
    """
    import torch

    with reading(path, advice=advice):
        with Path(path).open("rb") as file:
            packed = zipfile.is_zipfile(file)
        if packed:
            # PyTorch does not compare the checksums that it writes.
            read_zip(path, advice)
        return torch.load(path, map_location="cpu", weights_only=True, **options)
