"""Whether what a command will write can be written, asked before the work."""

# fingerprint: not counted

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from graphkit.files import is_stream

__all__ = ["check_file", "check_folder"]


def check_folder(option: str, folder: Path) -> None:
    """Makes a folder, and tries to write into it.

    Raises:
        ValueError: If that fails; names the option, the folder and the reason.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(f"{option} {folder}: cannot write there: {reason}") from error


def check_file(option: str, path: Path | None) -> None:
    """Tries whether a file can be written, without touching one that is there.

    Raises:
        ValueError: If it cannot; names the option, the file and the reason.
    """
    if path is None:
        return
    if path.is_dir():
        raise ValueError(f"{option} {path}: this is a folder; give the name of a file")
    if is_stream(path):
        if not os.access(path, os.W_OK):
            raise ValueError(f"{option} {path}: cannot write there")
        return
    check_folder(option, path.parent)
