"""Arrays of numbers in MATLAB's files of version 5 to 7.

SciPy's reader is compiled code that ends the process on some damaged files, so it is not used.
"""

# fingerprint: not counted

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from graphkit.guard import GROWTH, ROOM, reading

__all__ = ["read_matlab"]

HEADER = 128
MATRIX, COMPRESSED = 14, 15
STORED = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
"""How numbers are stored, which may be narrower than what they stand for."""
NUMERIC = range(6, 16)
"""Classes of arrays of plain numbers: double, single, and whole ones of all widths."""
COMPLEX = 0x0800


def read_matlab(path: str | os.PathLike[str], name: str) -> np.ndarray:
    """An array of a file, in double precision.

    Raises:
        DamagedDataError: If the file is cut off, of another version, has no such array, or would
            fill the memory; the message names the file.
    """
    with reading(path):
        content = Path(path).read_bytes()
        if (
            content[:6] != b"MATLAB"
            or len(content) < HEADER
            or content[126:128] not in (b"IM", b"MI")
        ):
            raise ValueError("it does not begin as a file of MATLAB 5 to 7 does")
        if b"HDF5" in content[:116]:
            raise ValueError("it is of MATLAB 7.3; save it anew there with '-v7'")
        order = "<" if content[126:128] == b"IM" else ">"
        names = []
        for kind, body in elements(content[HEADER:], order):
            if kind == COMPRESSED:
                kind, body = unpacked(body, order)
            if kind == MATRIX:
                title, values = matrix(body, order, name)
                if values is not None:
                    return values
                names.append(title)
        raise ValueError(f"it holds no array {name!r} but {names[:9]}")


def elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Kind and content of every element, one behind the other."""
    place = 0
    while place < len(content):
        if place + 8 > len(content):
            raise ValueError("it is cut off in the head of an element")
        kind, size = struct.unpack_from(f"{order}II", content, place)
        start, padded = place + 8, size + -size % 8
        if kind >> 16:
            # A small element has kind and size in one number, and at most four bytes.
            kind, size, start, padded = kind & 0xFFFF, kind >> 16, place + 4, 4
        if kind == COMPRESSED:
            padded = size
        if start + size > len(content) or size > max(padded, 0):
            raise ValueError("it is cut off, or an element says a wrong size")
        yield kind, content[start : start + size]
        place = start + padded


def unpacked(body: bytes, order: str) -> tuple[int, bytes]:
    """The element in a packed one, which may not be far larger."""
    most = max(ROOM, GROWTH * len(body))
    engine = zlib.decompressobj()
    content = engine.decompress(body, most)
    if engine.unconsumed_tail:
        raise ValueError(f"{len(body):,} bytes unpack to more than {most:,}")
    if not engine.eof:
        raise ValueError("a packed element is cut off")
    for kind, inner in elements(content, order):
        return kind, inner
    raise ValueError("a packed element is empty")


def matrix(body: bytes, order: str, name: str) -> tuple[str, np.ndarray | None]:
    """The name of an array, and its values if they are asked for."""
    parts = elements(body, order)
    (_, flags), (_, lengths), (_, title) = next(parts), next(parts), next(parts)
    spoken = title.decode("ascii")
    if spoken != name:
        return spoken, None
    flag = int(np.frombuffer(flags, f"{order}u4")[0])
    if flag & 0xFF not in NUMERIC or flag & COMPLEX:
        raise ValueError(f"{name!r} is no array of real numbers")
    shape = np.frombuffer(lengths, f"{order}i4").astype(int).tolist()
    kind, numbers = next(parts)
    if kind not in STORED:
        raise ValueError(f"{name!r} is stored as type {kind}, which is no number")
    values = np.frombuffer(numbers, f"{order}{STORED[kind]}")
    # Compared with what is there before anything of that size is made.
    if min(shape, default=-1) < 0 or math.prod(shape) != len(values):
        raise ValueError(f"{name!r} says {shape}, but holds {len(values)} numbers")
    return spoken, values.reshape(shape, order="F").astype(np.float64)
