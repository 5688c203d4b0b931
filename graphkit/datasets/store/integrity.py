"""Looks at raw files before they are read, so that a bad one is named."""

# fingerprint: not counted

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from graphkit.datasets.store.errors import disk_error
from graphkit.datasets.store.reading.archives import read_gzip, read_npy_length
from graphkit.datasets.store.reading.pickles import read_pickle
from graphkit.guard import DamagedDataError, reading
from graphkit.tensor_files import read_zip
from graphkit.text_files import (
    number_of,
    read_json,
    read_table,
    read_text,
    rows_of,
)

__all__ = ["check_counts", "check_files", "check_rows"]

ADVICE = "Get the file anew; `python -m graphkit data` says where from."
SAME_ROWS = (
    ("x", "y"),
    ("tx", "ty", "test.index"),
    ("allx", "ally"),
    ("graph_indicator", "node_labels", "node_attributes"),
    ("A", "edge_labels", "edge_attributes"),
)


def check_pickle(path: Path) -> int:
    """A pickle that holds arrays and nothing that could do harm."""
    content = read_pickle(path)
    return content.shape[0] if hasattr(content, "shape") else len(content)


def check_json(path: Path) -> int:
    """A complete JSON value."""
    content = read_json(path)
    return len(content) if isinstance(content, list | dict) else 1


def check_gzip(path: Path) -> int:
    """A stream with the checksum it states."""
    return read_gzip(path).count(b"\n")


def check_text(path: Path) -> int:
    """Rows of as many numbers each, to the last line; or whole lines of words."""
    rows = rows_of(read_text(path))
    numbers = rows and all(number_of(word) is not None for word in rows[0][1])
    return len(read_table(path)) if numbers else len(rows)


CHECKS: dict[str, Callable[[Path], int]] = {
    ".npz": read_zip,
    ".zip": read_zip,
    ".npy": read_npy_length,
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
        try:
            with reading(path):
                if path.stat().st_size == 0:
                    raise ValueError("it is empty")
                if check is not None:
                    lengths[path] = check(path)
        except DamagedDataError as error:
            advice = "" if disk_error(error) else f". {ADVICE}"
            raise DamagedDataError(f"{error}{advice}") from error
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
