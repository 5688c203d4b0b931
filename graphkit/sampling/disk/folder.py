"""The folder of a graph: plain ``.npy`` arrays and one file that says what they are.

Edges of a type lie sorted by target: ``colptr.npy`` and ``row.npy``, and their attributes in the
same order. Only arrays and JSON are read, so that nothing in a folder can run code.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

import numpy as np
import torch
from torch import Tensor

from graphkit.files import replacing
from graphkit.guard import reading

CONTENTS = "graph.json"
VERSION = 1
STEP = 1 << 24
"""Entries that are looked at in one go."""
EdgeType: TypeAlias = tuple[str, str, str]


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """A folder beside ``path`` that becomes ``path`` when the block ends well, and is gone if not.

    Raises:
        FileExistsError: If something is there already.
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"'{path}' is there already; give another folder or delete it")
    path.parent.mkdir(parents=True, exist_ok=True)
    work = path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")
    work.mkdir()
    try:
        yield work
        work.rename(path)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def name_of(kind: str | EdgeType | None) -> str:
    """The folder of a type of nodes or edges."""
    words = ["_"] if kind is None else [kind] if isinstance(kind, str) else list(kind)
    for word in words:
        if not word or any(sign in word for sign in "/\\:\0") or word.startswith("."):
            raise ValueError(f"the type {word!r} cannot be the name of a folder")
    return "__".join(words)


def write_contents(folder: Path, contents: dict[str, Any]) -> None:
    """Writes what a folder holds."""
    with replacing(folder / CONTENTS) as file:
        file.write(json.dumps({"graphkit_graph": VERSION, **contents}, indent=1).encode())


def read_contents(folder: Path) -> dict[str, Any]:
    """Reads what a folder holds.

    Raises:
        FileNotFoundError: If there is no graph.
        ValueError: If its file is damaged or of a later version.
    """
    file = folder / CONTENTS
    if not file.is_file():
        raise FileNotFoundError(f"'{folder}' holds no graph: there is no '{CONTENTS}'")
    with reading(file):
        contents = json.loads(file.read_bytes())
        version = contents["graphkit_graph"]
        nodes = [(n["type"], n["num_nodes"], n["attrs"]) for n in contents["nodes"]]
        edges = [(e["type"], e["num_edges"], e["attrs"]) for e in contents["edges"]]
        whole = all(isinstance(size, int) and size >= 0 for _, size, _ in nodes + edges)
    if version != VERSION or not whole:
        raise ValueError(f"'{file}' is damaged, or of a later version of graphkit")
    return contents


def open_array(file: Path, rows: int, dtypes: str = "biuf") -> np.ndarray:
    """A memory-mapped array of so many rows; writes to it do not reach the file.

    Raises:
        ValueError: If the file is missing, damaged, of other rows or of another kind of numbers.
    """
    with reading(file):
        array = np.load(file, mmap_mode="c", allow_pickle=False)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in dtypes or array.ndim == 0:
        raise ValueError(f"'{file}' is damaged: no array of such numbers")
    if array.shape[0] != rows:
        raise ValueError(f"'{file}' has {array.shape[0]} rows, the graph needs {rows}")
    return array


def as_tensor(array: np.ndarray) -> Tensor:
    """A tensor on the memory of an array."""
    return torch.from_numpy(array) if array.size else torch.from_numpy(np.array(array))


def check_edges(folder: Path, colptr: np.ndarray, row: np.ndarray, num_source: int) -> None:
    """Reads all edges once: bounds that grow to the number of edges, and sources in the graph."""
    if int(colptr[0]) != 0 or int(colptr[-1]) != row.shape[0]:
        raise ValueError(
            f"'{folder / 'colptr.npy'}' is damaged: its bounds are not those of row.npy"
        )
    for start in range(0, colptr.shape[0], STEP):
        if bool((np.diff(colptr[start : start + STEP + 1]) < 0).any()):
            raise ValueError(f"'{folder / 'colptr.npy'}' is damaged: its bounds fall")
    for start in range(0, row.shape[0], STEP):
        part = row[start : start + STEP]
        low, high = int(part.min()), int(part.max())
        if low < 0 or high >= num_source:
            wrong = low if low < 0 else high
            raise ValueError(
                f"'{folder / 'row.npy'}' is damaged: {wrong} is none of {num_source} nodes"
            )
