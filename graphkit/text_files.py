"""Text as people have it: with a byte order mark, Windows' line ends, tabs, no last newline."""

# fingerprint: not counted

from __future__ import annotations

import codecs
import io
import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from graphkit.guard import DamagedDataError, reading

__all__ = [
    "bounded_int",
    "decode",
    "json_of",
    "read_json",
    "read_table",
    "read_text",
    "rows_of",
    "table_of",
]

LARGEST = 2**53
SHOWN = 40


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a file, its lines ended by ``\\n``, without a byte order mark.

    Raises:
        DamagedDataError: If it is no text or has zero bytes, as a half-written file does.
    """
    with reading(path):
        return decode(Path(path).read_bytes())


def decode(content: bytes) -> str:
    """The text that bytes stand for.

    Raises:
        ValueError: If they are no text; the message says in which line.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = content.decode("utf-16")
    else:
        hole = content.find(b"\0")
        if hole >= 0:
            line = content.count(b"\n", 0, hole) + 1
            raise ValueError(f"line {line}: zero bytes; the file was not written to its end")
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise ValueError(f"line {line}: {error.reason} in UTF-8") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def rows_of(text: str) -> list[tuple[int, list[str]]]:
    """The words of every line that is not blank, parted by commas or else blanks and tabs."""
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            words = line.split(",") if "," in line else line.split()
            rows.append((number, [word.strip() for word in words]))
    return rows


def read_table(
    path: str | os.PathLike[str], columns: int | None = None, whole: bool = False
) -> np.ndarray:
    r"""A table of numbers.

    Args:
        path (str or Path): Text, its columns parted by commas, tabs or blanks.
        columns (int, optional): How many there must be. (default: any number)
        whole (bool, optional): Whether only whole numbers are right. (default: :obj:`False`)

    Shapes:
        - **output:** :math:`(R, C)`, float64 or int64

    Raises:
        DamagedDataError: If a word is no finite number, a row has another length than the first,
            or there is none; the message names file and line.
    """
    text = read_text(path)
    with reading(path):
        return table_of(text, columns, whole)


def table_of(
    text: str, columns: int | None = None, whole: bool = False, finite: bool = True
) -> np.ndarray:
    """A table of numbers from text that :func:`decode` gave; NaN is allowed on request.

    Raises:
        ValueError: As :func:`read_table`; the message names the line.
    """
    values = quick(text)
    if values is None or not right(values, columns, whole, finite):
        complain(text, columns, whole, finite or whole)
        values = np.array([[float(word) for word in words] for _, words in rows_of(text)])
    return values.astype(np.int64) if whole else values


def quick(text: str) -> np.ndarray | None:
    """The table as NumPy reads it; nothing if it cannot, for whatever reason."""
    comma = "," if "," in text else None
    if not text.strip():
        return None
    try:
        return np.loadtxt(io.StringIO(text), delimiter=comma, comments=None, ndmin=2)
    except (ValueError, OverflowError):
        return None


def right(values: np.ndarray, columns: int | None, whole: bool, finite: bool) -> bool:
    """Whether a table has its columns and the numbers that it may have."""
    if columns is not None and values.shape[1] != columns:
        return False
    return integral(values) if whole else not finite or bool(np.isfinite(values).all())


def integral(values: np.ndarray) -> bool:
    """Whether all are finite, whole and exact as such."""
    return bool(((np.abs(values) < LARGEST) & (values == np.rint(values))).all())


def complain(text: str, columns: int | None, whole: bool, finite: bool) -> None:
    """Raises at the first line that is wrong; returns if there is none."""
    rows = rows_of(text)
    if not rows:
        raise ValueError("it is empty")
    width = columns or len(rows[0][1])
    for number, words in rows:
        if len(words) != width:
            raise ValueError(f"line {number}: {len(words)} numbers, expected {width}")
        for word in words:
            value = number_of(word)
            if value is None or (finite and not np.isfinite(value)):
                raise ValueError(f"line {number}: {word[:SHOWN]!r} is no finite number")
            if whole and (value != int(value) or abs(value) >= LARGEST):
                raise ValueError(f"line {number}: {word[:SHOWN]!r} is no whole number in range")


def number_of(word: str) -> float | None:
    """The number that a word stands for, in plain digits."""
    try:
        return float(word) if re.fullmatch(r"[-+.0-9a-zA-Z]+", word) else None
    except ValueError:
        return None


def read_json(path: str | os.PathLike[str]) -> Any:
    """A JSON value of finite numbers.

    Raises:
        DamagedDataError: If it is cut off, nested too deeply, holds NaN, infinity or a whole
            number beyond 64 bits, or has a name twice.
    """
    text = read_text(path)
    with reading(path):
        return json_of(text)


def json_of(text: str) -> Any:
    """A JSON value of finite numbers from text.

    Raises:
        ValueError, RecursionError: As :func:`read_json`.
    """
    return json.loads(
        text,
        parse_constant=refuse,
        parse_float=bounded_float,
        parse_int=bounded_int,
        object_pairs_hook=unique,
    )


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, none of whose names stands for two values: Python would keep the last."""
    values = dict(pairs)
    if len(values) != len(pairs):
        names = Counter(name for name, _ in pairs)
        raise ValueError(f"the name {names.most_common(1)[0][0][:SHOWN]!r} stands twice in it")
    return values


def refuse(word: str) -> None:
    """Python reads NaN and infinity, which JSON does not know."""
    raise ValueError(f"{word} is no number of JSON")


def bounded_float(word: str) -> float:
    """A number that is not beyond all bounds."""
    value = float(word)
    if not np.isfinite(value):
        raise ValueError(f"{word[:SHOWN]} is too large")
    return value


def bounded_int(word: str) -> int:
    """A whole number of at most 64 bits, as every array holds."""
    value = int(word) if len(word) <= SHOWN else 2**64
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{word[:SHOWN]} is too large")
    return value


def described(path: str | os.PathLike[str], what: str) -> DamagedDataError:
    """An error about a file that is well formed and wrong."""
    return DamagedDataError(f"'{path}' {what}")
