"""Looks at raw files before they are read, so that a bad one is named."""

# fingerprint: not counted

from __future__ import annotations

import gzip
import json
import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from graphkit.datasets.store.errors import DamagedDataError

__all__ = ["check_counts", "check_files", "check_rows"]

READ_ERRORS = (OSError, EOFError, ValueError, zipfile.BadZipFile, pickle.UnpicklingError)
PICKLE_ERRORS = (AttributeError, ImportError, IndexError, KeyError, TypeError)
PICKLE_NAMES = frozenset(
    {
        ("__builtin__", "object"),
        ("_codecs", "encode"),
        ("collections", "defaultdict"),
        ("copy_reg", "_reconstructor"),
        ("__builtin__", "list"),
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("scipy.sparse.csr", "csr_matrix"),
    }
)
SAME_ROWS = (
    ("x", "y"),
    ("tx", "ty", "test.index"),
    ("allx", "ally"),
    ("graph_indicator", "node_labels", "node_attributes"),
    ("A", "edge_labels", "edge_attributes"),
)
CHUNK = 1 << 20


class PlainUnpickler(pickle.Unpickler):
    """Unpickles numbers, arrays and sparse matrices, and refuses to call anything else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in PICKLE_NAMES:
            raise pickle.UnpicklingError(f"it would call '{module}.{name}'")
        return super().find_class(module, name)


def check_pickle(path: Path) -> int:
    """A pickle of Python 2 that holds arrays and nothing that could do harm."""
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            content = PlainUnpickler(file, encoding="latin1").load()
        except PICKLE_ERRORS as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error
    return content.shape[0] if hasattr(content, "shape") else len(content)


def check_zip(path: Path) -> int:
    """An archive whose members have the checksums it states."""
    with zipfile.ZipFile(path) as archive:
        broken = archive.testzip()
        if broken is not None:
            raise ValueError(f"'{broken}' in it is damaged")
        return len(archive.namelist())


def check_npy(path: Path) -> int:
    """An array as long as its header says."""
    return len(np.load(path, mmap_mode="r"))


def check_json(path: Path) -> int:
    """A complete JSON value."""
    with path.open(encoding="utf-8") as file:
        return len(json.load(file))


def check_gzip(path: Path) -> int:
    """A stream with the checksum it states."""
    lines = 0
    with gzip.open(path) as file:
        while chunk := file.read(CHUNK):
            lines += chunk.count(b"\n")
    return lines


def check_text(path: Path) -> int:
    """Rows of as many numbers each, to the last line."""
    table = np.loadtxt(path, delimiter=",", ndmin=2)
    if not np.isfinite(table).all():
        raise ValueError("it holds values that are not finite")
    return len(table)


def check_aliases(path: Path) -> int:
    """Lines of names, parted by commas."""
    return len(path.read_text(encoding="utf-8").splitlines())


CHECKS: dict[str, Callable[[Path], int]] = {
    ".npz": check_zip,
    ".npy": check_npy,
    ".json": check_json,
    ".gz": check_gzip,
    ".txt": check_text,
    ".index": check_text,
}


def check_files(paths: Iterable[Path]) -> dict[Path, int]:
    r"""Reads every file to its end.

    Args:
        paths (iterable of Path): Raw files; the format follows from the name.

    Returns:
        The number of rows or entries of each file whose format is known.

    Raises:
        DamagedDataError: If one is empty, truncated or unreadable; the message names it.
    """
    lengths = {}
    for path in paths:
        pickled = check_pickle if path.name.startswith("ind.") else None
        check = CHECKS.get(path.suffix, pickled)
        check = check_aliases if path.name.endswith("_alias.txt") else check
        check = None if path.name.endswith("_missing_skeletons.txt") else check
        try:
            if path.stat().st_size == 0:
                raise ValueError("it is empty")
            if check is not None:
                lengths[path] = check(path)
        except READ_ERRORS as error:
            raise DamagedDataError(
                f"cannot read '{path}': {error or type(error).__name__}. "
                "Get the file anew; `python -m graphkit data` says where from."
            ) from error
    return lengths


def check_rows(lengths: dict[Path, int], name: str) -> None:
    r"""Compares files of Planetoid and of the TU collection that must have as many rows.

    Args:
        lengths (dict): What :func:`check_files` returned.
        name (str): Name of the data set in the file names.

    Raises:
        DamagedDataError: If two lengths differ; the message names both files.
    """
    parts = {}
    for path in lengths:
        part = path.name.removeprefix(f"ind.{name.lower()}.").removeprefix(f"{name}_")
        parts[part.removesuffix(".txt")] = path
    for group in SAME_ROWS:
        paths = sorted((parts[part] for part in group if part in parts), key=lambda p: lengths[p])
        if paths and lengths[paths[0]] != lengths[paths[-1]]:
            raise DamagedDataError(
                f"'{paths[0]}' has {lengths[paths[0]]:,} rows, but '{paths[-1].name}' has "
                f"{lengths[paths[-1]]:,}: one of them is truncated or another set's"
            )


def check_counts(name: str, folder: Path, counts: dict[str, int], expected: dict[str, int]) -> None:
    r"""Compares what was read with the published numbers.

    Args:
        name (str): Name of the data set.
        folder (Path): Folder of the raw files.
        counts (dict): Numbers read.
        expected (dict): Published numbers.

    Raises:
        DamagedDataError: If a number differs; the message names it and the folder.
    """
    wrong = {key: value for key, value in expected.items() if counts.get(key, value) != value}
    if wrong:
        differences = ", ".join(f"{counts[k]:,} {k} (published: {v:,})" for k, v in wrong.items())
        raise DamagedDataError(
            f"{name!r} in '{folder}' has {differences}: a file in it is truncated or another set's"
        )
