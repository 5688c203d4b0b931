"""Archives and arrays, whose sizes are looked at before memory is taken."""

# fingerprint: not counted

from __future__ import annotations

import gzip
import math
import os
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from graphkit.guard import DamagedDataError, bounded, reading
from graphkit.tensor_files import open_zip

__all__ = [
    "check_arrays",
    "check_characters",
    "read_arrays",
    "read_gzip",
]

CHUNK = 1 << 20
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_arrays(
    path: str | os.PathLike[str], names: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    r"""Arrays from a ``.npz`` file; members that are not asked for are not read.

    Args:
        path (str or Path): The file.
        names (sequence of str): The arrays that must be there.
        optional (sequence of str, optional): Those that may be. (default: none)

    Raises:
        DamagedDataError: If one is missing, damaged, made of objects, or longer in its header
            than in the file; the message names file and array.
    """
    arrays = {}
    with open_zip(path) as archive:
        for name, member in members_of(path, archive, names, optional).items():
            with reading(path, f"array '{name}'"), archive.open(member) as file:
                arrays[name] = array_in(file, member.file_size)
    return arrays


def check_arrays(path: str | os.PathLike[str], names: Sequence[str]) -> None:
    """Looks at the headers of arrays, for readers of other people that trust them.

    Args:
        path (str or Path): A ``.npz`` file.
        names (sequence of str): The arrays that must be there.

    Raises:
        DamagedDataError: As :func:`read_arrays`, but for what stands behind the headers.
    """
    with open_zip(path) as archive:
        for name, member in members_of(path, archive, names, ()).items():
            with reading(path, f"array '{name}'"), archive.open(member) as file:
                header_of(file, member.file_size)


def members_of(
    path: str | os.PathLike[str],
    archive: zipfile.ZipFile,
    names: Sequence[str],
    optional: Sequence[str],
) -> dict[str, zipfile.ZipInfo]:
    """The members that hold arrays, by the names of the arrays."""
    members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
    lacking = [name for name in names if name not in members]
    if lacking:
        raise DamagedDataError(f"'{path}' lacks the array {', '.join(lacking)}")
    return {name: members[name] for name in (*names, *optional) if name in members}


def array_in(file: IO[bytes], size: int) -> np.ndarray:
    """The array in a ``.npy`` stream of so many bytes."""
    shape, fortran, dtype = header_of(file, size)
    values = np.empty(math.prod(shape), dtype)
    place, room = 0, values.view(np.uint8).data
    # Piece by piece: read as a whole, the array would be there twice.
    while place < len(room):
        piece = file.read(min(CHUNK, len(room) - place))
        if not piece:
            raise EOFError("it is cut off")
        room[place : place + len(piece)] = piece
        place += len(piece)
    file.read(1)  # The end of a member is where its checksum is compared.
    check_characters(values)
    return values.reshape(shape, order="F" if fortran else "C")


def check_characters(values: np.ndarray) -> None:
    """Raises unless text in an array is made of characters, which NumPy does not look at."""
    if values.dtype.kind == "U" and values.size:
        number = np.dtype(np.uint32).newbyteorder(values.dtype.byteorder)
        letters = np.frombuffer(values.tobytes(), number)
        if letters.max(initial=0) > sys.maxunicode:
            raise ValueError("it holds text of characters that there are not")


def header_of(file: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and type of a ``.npy`` stream, after a look at whether it is that long."""
    version = np.lib.format.read_magic(file)
    if version not in HEADERS:
        raise ValueError(f"arrays of version {version} are not read")
    shape, fortran, dtype = HEADERS[version](file)
    if dtype.hasobject or dtype.itemsize == 0:
        raise ValueError(f"it is an array of {dtype}, which is no number and no text")
    if any(length < 0 for length in shape):
        raise ValueError(f"its shape is {shape}")
    if math.prod(shape) * dtype.itemsize > size:
        raise ValueError(f"its header says {shape} of {dtype}, but it has {size:,} bytes in all")
    return shape, fortran, dtype


def read_npy_length(path: str | os.PathLike[str]) -> int:
    """The length of the array in a ``.npy`` file that is as long as its header says."""
    with Path(path).open("rb") as file:
        shape, _, dtype = header_of(file, os.stat(path).st_size)
        rest = os.stat(path).st_size - file.tell()
    if rest != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"its header says {shape} of {dtype}, but {rest:,} bytes follow")
    if not shape:
        raise ValueError("it holds a single number")
    return shape[0]


def read_gzip(path: str | os.PathLike[str]) -> bytes:
    """What a compressed file holds.

    Raises:
        DamagedDataError: If it is cut off or damaged, or would fill the memory.
    """
    with reading(path):
        packed, parts, length = os.stat(path).st_size, [], 0
        with gzip.open(path) as file:
            while chunk := file.read(CHUNK):
                length += len(chunk)
                bounded(packed, length)
                parts.append(chunk)
        return b"".join(parts)
