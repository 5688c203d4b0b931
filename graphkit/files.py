"""Files that are written whole or not at all."""

# fingerprint: not counted

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

OPEN_FILE = re.compile(r"/dev/(stdout|stderr|fd/(\d+))|/proc/self/fd/(\d+)")
"""Names of what a process has open, be it a file or not."""


def is_stream(path: Path) -> bool:
    """Whether a path names a device, a pipe or an open file, in whose place no file may be put."""
    if OPEN_FILE.fullmatch(os.path.abspath(path)):
        return path.exists()
    return path.exists() and not path.is_file() and not path.is_dir()


def open_stream(path: Path) -> BinaryIO:
    """A stream to write to, from where it is on."""
    match = OPEN_FILE.fullmatch(os.path.abspath(path))
    if match is None:
        return path.open("wb")
    # Opened by its name, a file would be written from its start.
    sys.stdout.flush()
    number = {"stdout": 1, "stderr": 2}.get(match[1]) or int(match[2] or match[3])
    return os.fdopen(os.dup(number), "wb")


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Opens a new file that takes the place of :obj:`path` when the block ends well.

    After an exception, or a kill at any moment, the old file is still there untouched. What is no
    file, such as ``/dev/stdout`` or a pipe, stays and is written to when the block ends well; a
    link stays, and the file that it names is replaced.

    Args:
        path (str or Path): The file to replace; its folder is made if need be.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> target = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with replacing(target) as file:
        ...     _ = file.write(b"hello")
        >>> target.read_text()
        'hello'
    """
    path = Path(path)
    if is_stream(path):
        with tempfile.TemporaryFile() as file:
            yield file
            file.seek(0)
            with open_stream(path) as stream:
                shutil.copyfileobj(file, stream)
        return
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
