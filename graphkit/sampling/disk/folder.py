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
from graphkit.json_values import whole
from graphkit.text_files import read_json

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


def file_name(name: str) -> str:
    """An attribute's name as part of a file's."""
    if not name or any(sign in name for sign in "/\\\0"):
        raise ValueError(f"the attribute {name!r} cannot be the name of a file")
    return name


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
    contents = read_json(file)
    with reading(file, advice="it is damaged, or of a later version of graphkit"):
        check_contents(contents)
    return dict(contents)


def check_contents(contents: Any) -> None:
    """Raises, of whatever type, unless contents are such as :func:`write_contents` writes."""
    if whole(contents["graphkit_graph"], "its version") != VERSION:
        raise ValueError(f"it is of version {contents['graphkit_graph']}")
    nodes = [entry["type"] for entry in contents["nodes"]]
    edges = [entry["type"] for entry in contents["edges"]]
    if len(set(nodes)) != len(nodes) or len(set(map(str, edges))) != len(edges):
        raise ValueError("a type stands twice in it")
    for kind in edges:
        source, _, target = (None, None, None) if kind is None else kind
        if not {source, target} <= set(nodes):
            raise ValueError(f"there are no nodes for the edges {kind}")
    for room, size in (("nodes", "num_nodes"), ("edges", "num_edges")):
        for entry in contents[room]:
            name_of(entry["type"])
            names = [file_name(name) for name in entry["attrs"]]
            if whole(entry[size], size) < 0 or len(set(names)) != len(names):
                raise ValueError(f"{entry['type']} has a negative size, or an attribute twice")


def open_array(file: Path, rows: int, dtypes: str = "biuf") -> np.ndarray:
    """A memory-mapped array of so many rows; writes to it do not reach the file.

    Raises:
        ValueError: If the file is missing, damaged, of other rows or of another kind of numbers.
    """
    with reading(file):
        array = np.load(file, mmap_mode="c", allow_pickle=False)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in dtypes or array.ndim == 0:
        raise ValueError(f"'{file}' is damaged: no array of such numbers")
    if not array.dtype.isnative or array.dtype.itemsize > 8:
        raise ValueError(f"'{file}' holds numbers of {array.dtype}, which no tensor has")
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
