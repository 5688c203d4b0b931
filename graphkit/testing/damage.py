"""Files as people have them: beside others, spelt otherwise, damaged, or on a full disk."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = [
    "SPELLINGS",
    "add_strays",
    "cut",
    "full_disk",
    "lengthen_number",
    "make_hole",
    "respell",
    "text_files",
]

TEXT = (".txt", ".csv", ".tsv", ".json", ".index", ".skeleton", ".align", ".off")
HOLE = 4096
WHOLE = re.compile(rb"(?<![\w.])\d+(?![\w.])")
STRAYS = {
    "README.txt": b"README for data set X\n\n=== Usage ===\nn = number of nodes\n",
    ".gitkeep": b"",
    ".DS_Store": b"\0\0\0\1Bud1\0",
    "Thumbs.db": b"\xd0\xcf\x11\xe0",
    "stray.npz": b"PK\3\4 cut off",
    "labels.json": b'[{"file_name": ',
    "stray.mat": b"MATLAB 5.0 MAT-file",
    "list.of.files.lst": b"a\nb\n",
}
APPLE = b"\0\5\x16\7\0\2\0\0Mac OS X        "

SPELLINGS: dict[str, Callable[[bytes], bytes]] = {
    "last_newline": lambda text: text.rstrip(b"\r\n"),
    "blank_lines": lambda text: text.rstrip(b"\r\n") + b"\n\n\n",
    "line_ends": lambda text: text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"),
    "byte_order_mark": lambda text: b"\xef\xbb\xbf" + text,
}
"""Ways to write the same text."""


def add_strays(root: Path) -> None:
    """Puts files beside those that are there, as archives and systems leave them.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "a.txt").write_text("1")
        >>> add_strays(folder)
        >>> (folder / "README.txt").is_file(), (folder / "._a.txt").is_file()
        (True, True)
    """
    files = [path for path in root.rglob("*") if path.is_file()]
    for folder in {path.parent for path in files}:
        for name, content in STRAYS.items():
            if not (folder / name).exists():
                (folder / name).write_bytes(content)
    for path in files:
        (path.parent / f"._{path.name}").write_bytes(APPLE)


def text_files(root: Path) -> list[Path]:
    """The files that hold text, compressed ones included."""
    return [
        path
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name.removesuffix(".gz").endswith(TEXT)
    ]


def respell(path: Path, spelling: str) -> None:
    """Writes a text anew in one of the :data:`SPELLINGS`."""
    rewrite(path, SPELLINGS[spelling])


def lengthen_number(path: Path, place: float = 0.5) -> None:
    """Puts a whole number beyond 64 bits in the place of one of a text.

    Args:
        path (Path): The text, compressed or not.
        place (float, optional): Which of its whole numbers, as a share of all.
            (default: :obj:`0.5`)
    """

    def longer(text: bytes) -> bytes:
        numbers = list(WHOLE.finditer(text))
        if not numbers:
            return text
        one = numbers[int((len(numbers) - 1) * place)]
        return text[: one.start()] + b"9" * 25 + text[one.end() :]

    rewrite(path, longer)


def rewrite(path: Path, write: Callable[[bytes], bytes]) -> None:
    """Replaces a text by what a function makes of it."""
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(write(gzip.decompress(path.read_bytes()))))
    else:
        path.write_bytes(write(path.read_bytes()))


def make_hole(path: Path, place: float = 0.5) -> None:
    """Zeros where a block of the file was, as an interrupted copy leaves them.

    Args:
        path (Path): The file.
        place (float, optional): Where the middle of the hole is, as a share of the file.
            (default: :obj:`0.5`)
    """
    content = bytearray(path.read_bytes())
    size = min(HOLE, max(len(content) // 2, 1))
    start = int((len(content) - size) * place)
    content[start : start + size] = bytes(len(content[start : start + size]))
    path.write_bytes(bytes(content))


def cut(path: Path, share: float = 0.5) -> None:
    """Leaves a share of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


@contextmanager
def full_disk() -> Iterator[None]:
    """Inside, no byte can be written into any file: the system says so, to C++ as well."""
    resource = pytest.importorskip("resource", reason="limits of files are a matter of POSIX")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
