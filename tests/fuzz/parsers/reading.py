"""The readers that all data sets share."""

from __future__ import annotations

import gzip
import io
import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from graphkit.datasets import DamagedDataError
from graphkit.datasets.store.reading.archives import check_arrays, read_arrays, read_gzip
from graphkit.datasets.store.reading.pickles import read_pickle
from graphkit.tensor_files import read_tensors, read_zip
from graphkit.text_files import read_json, read_table
from tests.fuzz.registry import parser

VALUE = {"a": [1, 2.5, None, True, "ä"], "b": {"c": [[], {}]}}


def put(folder: Path, name: str, content: bytes) -> Path:
    """A file of these bytes."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    # Another file of the name: the one before may still be mapped into memory.
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    return path


def put_all(folder: Path, contents: dict[str, bytes], name: str, content: bytes) -> None:
    """Files that belong together, one of them with these bytes."""
    for other, original in contents.items():
        put(folder, other, content if other == name else original)


def packed(tables: dict[str, bytes]) -> dict[str, bytes]:
    """Tables as they are published: by the names of their compressed files."""
    return {f"{name}.csv.gz": gzip.compress(table, mtime=0) for name, table in tables.items()}


@contextmanager
def named(folder: Path) -> Iterator[None]:
    """A block whose errors about values must say which file they are about."""
    try:
        yield
    except ValueError as error:
        if str(folder) not in str(error):
            raise AssertionError(f"this names no file: {error}") from error
        raise


def arrays(**values: np.ndarray) -> bytes:
    """A ``.npz`` of arrays."""
    buffer = io.BytesIO()
    np.savez(buffer, **values)
    return buffer.getvalue()


@parser(lambda: [json.dumps(VALUE).encode()], DamagedDataError)
def json_value(content: bytes, folder: Path) -> None:
    read_json(put(folder, "a.json", content))


@parser(lambda: [b"1, 2\n3, 4\n5, 6\n", b"1.5 2\n-3e2 4\n", b"1\n2\n3\n"], DamagedDataError)
def table(content: bytes, folder: Path) -> None:
    values = read_table(put(folder, "a.txt", content))
    assert np.isfinite(values).all()
    assert values.ndim == 2


def pickles() -> list[bytes]:
    dense = np.eye(3, dtype=np.float32)
    values = [VALUE, dense, sp.csr_matrix(dense), {0: [1, 2], 1: [np.int64(3)]}, [dense, "a"]]
    values += [np.array(["a", None], dtype=object), {1, 2}, bytearray(b"a"), 2**70]
    return [pickle.dumps(value, protocol) for value in values for protocol in range(6)]


@parser(pickles, DamagedDataError)
def pickled(content: bytes, folder: Path) -> None:
    value = read_pickle(put(folder, "a.pkl", content))
    if sp.issparse(value) and value.shape[0] * value.shape[1] < 1 << 20:
        value.toarray()


def archives() -> list[bytes]:
    return [arrays(a=np.arange(6.0).reshape(2, 3), b=np.array(["x", "yz"]), c=np.array(3))]


@parser(archives, DamagedDataError, inside="zip")
def npz(content: bytes, folder: Path) -> None:
    path = put(folder, "a.npz", content)
    read_zip(path)
    check_arrays(path, ["a"])
    read_arrays(path, ["a"], ["b", "c"])


@parser(lambda: [gzip.compress(b"1,2\n3,4\n" * 20)], DamagedDataError, inside="gzip")
def gzipped(content: bytes, folder: Path) -> None:
    read_gzip(put(folder, "a.gz", content))


def states() -> list[bytes]:
    buffer = io.BytesIO()
    torch.save({"0.weight": torch.ones(2, 3), "0.bias": torch.zeros(2)}, buffer)
    return [buffer.getvalue()]


@parser(states, DamagedDataError)
def tensors(content: bytes, folder: Path) -> None:
    read_tensors(put(folder, "a.pt", content))


def as_json(value: object) -> object:
    """A value of tensors as JSON can hold it, for :func:`values_of` to make again."""
    if isinstance(value, torch.Tensor):
        return {"tensor": value.tolist(), "dtype": str(value.dtype).removeprefix("torch.")}
    if isinstance(value, dict):
        return {key: as_json(inner) for key, inner in value.items()}
    return [as_json(inner) for inner in value] if isinstance(value, list | tuple) else value


def values_of(value: Any) -> Any:
    """What :func:`as_json` was given, as far as changes have left tensors of it."""
    if isinstance(value, dict) and value.keys() == {"tensor", "dtype"}:
        try:
            return torch.tensor(value["tensor"], dtype=getattr(torch, value["dtype"]))
        except (AttributeError, TypeError, ValueError, RuntimeError, OverflowError):
            return value["tensor"]
    if isinstance(value, dict):
        return {key: values_of(inner) for key, inner in value.items()}
    return [values_of(inner) for inner in value] if isinstance(value, list) else value


def put_values(folder: Path, name: str, content: bytes) -> Path | None:
    """A file as PyTorch writes it, of the values that JSON stands for; none if it is no JSON."""
    buffer = io.BytesIO()
    try:
        torch.save(values_of(json.loads(content)), buffer)
    except (ValueError, RecursionError):
        return None
    return put(folder, name, buffer.getvalue())
