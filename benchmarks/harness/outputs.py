"""What a command writes: whether it can be written, asked before the work, and figures."""

# fingerprint: not counted

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from graphkit.files import is_stream, replacing

__all__ = ["check_file", "check_folder", "write_figure"]


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


def write_figure(figure: Any, path: Path, dpi: int = 120) -> None:
    """Draws a figure of matplotlib into a file, whole or not at all; the ending says its kind."""
    with replacing(path) as file:
        figure.savefig(file, format=path.suffix[1:] or "png", dpi=dpi)
