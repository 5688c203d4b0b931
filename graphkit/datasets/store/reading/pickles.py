"""Pickles of numbers, arrays and plain containers, read without running anything else.

Nothing that a pickle names is ever imported.  Each name that is allowed stands for a function
here that builds what the name would, from checked arguments and within a budget of memory.
"""

# fingerprint: not counted

from __future__ import annotations

import io
import math
import mmap
import operator
import os
import pickle
import re
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from graphkit.datasets.store.reading.archives import check_characters
from graphkit.guard import GROWTH, ROOM, reading

__all__ = ["SparseRows", "read_pickle"]

CODE = re.compile(r"[<>=|]?(?:[?bBhHiIlLqQefdgFD]|[biufc]\d{1,2}|[SU]\d{0,6}|O8?)")
ENCODINGS = ("latin1", "latin-1", "iso8859-1")
FIXED = {
    **dict.fromkeys(b"KqhU\x8cC\x82", "<B"),
    **dict.fromkeys(b"M\x83", "<H"),
    **dict.fromkeys(b"JrjTXB\x84", "<I"),
    **dict.fromkeys(b"\x8d\x8e\x96\x95", "<Q"),
    ord("\x8a"): "<B",
    ord("\x8b"): "<I",
}
"""Operations with a number behind them; of some the number is a length."""
LENGTHS = frozenset(b"U\x8cCTXB\x8d\x8e\x96\x8a\x8b")
MEMO = frozenset(b"qr")
LINES = {**dict.fromkeys(b"FILSVgPp", 1), **dict.fromkeys(b"ci", 2)}
SKIPS = {ord("G"): 8, ord("\x80"): 1}


class SparseRows:
    """The attributes of a sparse matrix, before they are looked at."""

    kind = ""

    def matrix(self) -> Any:
        """The SciPy matrix, if indices and pointers fit its shape.

        Raises:
            ValueError: If they do not.
        """
        import scipy.sparse as sp

        state = vars(self)
        shape = state["_shape"] if "_shape" in state else state["shape"]
        rows, columns = (operator.index(length) for length in shape)
        data = np.asarray(state["data"])
        if data.dtype.kind not in "biuf" or rows < 0 or columns < 0:
            raise ValueError(f"a sparse matrix {shape} of {data.dtype}")
        if self.kind == "coo":
            # SciPy before 1.11 has two attributes for what is one now.
            row, column = state.get("coords") or (state["row"], state["col"])
            row, column = np.asarray(row), np.asarray(column)
            if not row.shape == column.shape == data.shape or row.dtype.kind not in "iu":
                raise ValueError("a sparse matrix whose parts differ in length")
            check_range(row, rows)
            check_range(column, columns)
            return sp.coo_matrix((data, (row, column)), (rows, columns))
        indices, pointers = np.asarray(state["indices"]), np.asarray(state["indptr"])
        lines = (rows, columns) if self.kind == "csr" else (columns, rows)
        check_compressed(data, indices, pointers, lines)
        make = sp.csr_matrix if self.kind == "csr" else sp.csc_matrix
        return make((data, indices, pointers), (rows, columns))


class CompressedRows(SparseRows):
    """A matrix by rows."""

    kind = "csr"


class CompressedColumns(SparseRows):
    """A matrix by columns."""

    kind = "csc"


class Coordinates(SparseRows):
    """A matrix by entries."""

    kind = "coo"


def check_compressed(
    data: np.ndarray, indices: np.ndarray, pointers: np.ndarray, shape: tuple[int, int]
) -> None:
    """Raises unless a compressed matrix points only inside itself: SciPy does not look.

    Args:
        data, indices, pointers (np.ndarray): As in :class:`scipy.sparse.csr_matrix`.
        shape (tuple of int): Its rows and columns.
    """
    for name, values in (("indices", indices), ("pointers", pointers)):
        if values.ndim != 1 or values.dtype.kind not in "iu":
            raise ValueError(f"the {name} of a sparse matrix are {values.dtype} {values.shape}")
    rows, columns = shape
    if len(pointers) != rows + 1 or pointers[0] != 0 or (np.diff(pointers.astype(int)) < 0).any():
        raise ValueError(f"the pointers of a sparse matrix are not those of {rows} rows")
    if data.shape != indices.shape or int(pointers[-1]) != len(data):
        raise ValueError(f"a sparse matrix of {len(data)} numbers and {len(indices)} indices")
    check_range(indices, columns)


def check_range(index: np.ndarray, length: int) -> None:
    """Raises unless all indices are below a length."""
    if index.size and (int(index.min()) < 0 or int(index.max()) >= length):
        raise ValueError(
            f"a sparse matrix has indices {int(index.min())} to {int(index.max())} of {length}"
        )


class ArrayName:
    """What stands for NumPy's class of arrays: a name, which makes nothing."""


class TypeName:
    """What stands for a type of arrays, from its short name; NumPy's own trusts what it is told."""

    def __init__(self, code: Any, *_: Any) -> None:
        code = code.decode("latin1") if isinstance(code, bytes) else code
        if not isinstance(code, str) or not CODE.fullmatch(code):
            raise pickle.UnpicklingError("an array of a type that is not allowed")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        order = state[1]
        if any(part is not None for part in state[2:5]) or order not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError("an array of a type that is not allowed")
        self.dtype = self.dtype.newbyteorder(order)


class BudgetArray(np.ndarray):
    """An array whose content is counted before it is copied."""

    budget: Budget

    def __setstate__(self, state: Any) -> None:
        version, shape, kind, fortran, content = state
        dtype = type_of(kind, objects=True)
        count, size = math.prod(map(operator.index, shape)), len(content)
        if count < 0 or size != count * (1 if dtype.hasobject else dtype.itemsize):
            raise pickle.UnpicklingError(f"an array {shape} of {dtype} in {size:,} bytes")
        if isinstance(content, list) != dtype.hasobject:
            raise pickle.UnpicklingError(f"an array of {dtype} from a {type(content).__name__}")
        self.budget.spend(size * (8 if dtype.hasobject else 1))
        checked: Any = (version, shape, dtype, bool(fortran), content)
        super().__setstate__(checked)
        check_characters(self)


class Budget:
    """Bytes that what a pickle builds may still take."""

    def __init__(self, size: int) -> None:
        self.left = max(ROOM, GROWTH // 10 * size)

    def spend(self, size: int) -> None:
        """Takes some of it."""
        self.left -= size
        if self.left < 0:
            raise pickle.UnpicklingError("it would take far more memory than it is long")


class PlainUnpickler(pickle.Unpickler):
    """Unpickles numbers, arrays, tensors, sparse matrices and containers; calls nothing else."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        super().__init__(file, encoding="latin1")
        self.budget = Budget(size)
        # Of each file's own: an array knows whose budget it spends.
        self.array = type("Array", (BudgetArray,), {"budget": self.budget})
        self.names = self.allowed()

    def find_class(self, module: str, name: str) -> Any:
        key = module.replace("numpy._core", "numpy.core").replace("__builtin__", "builtins")
        key = key.replace("scipy.sparse._", "scipy.sparse.").replace("copy_reg", "copyreg")
        if (key, name) not in self.names:
            raise pickle.UnpicklingError(f"it would call '{module}.{name}'")
        return self.names[key, name]

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside of it")

    def allowed(self) -> dict[tuple[str, str], Any]:
        """What stands for each name that a pickle may use."""
        containers: dict[str, Callable[..., Any]] = {
            "list": self.container(list),
            "tuple": self.container(tuple),
            "set": self.container(set),
            "frozenset": self.container(frozenset),
            "dict": self.container(dict),
            "bytearray": self.encoded(bytearray),
            "bytes": self.encoded(bytes),
            "complex": complex,
        }
        sparse = {"csr": CompressedRows, "csc": CompressedColumns, "coo": Coordinates}
        return {
            ("builtins", "object"): object,
            ("copyreg", "_reconstructor"): reconstructor,
            ("_codecs", "encode"): self.encoded(bytes),
            # The default could be anything that is called later: none is kept.
            ("collections", "defaultdict"): lambda *_: {},
            ("collections", "OrderedDict"): self.container(dict),
            ("torch._utils", "_rebuild_tensor_v2"): tensor,
            ("torch.storage", "_load_from_bytes"): self.storage,
            ("numpy", "ndarray"): ArrayName,
            ("numpy", "dtype"): TypeName,
            ("numpy.core.multiarray", "_reconstruct"): self.reconstruct,
            ("numpy.core.multiarray", "scalar"): scalar,
            ("numpy.core.numeric", "_frombuffer"): from_buffer,
            # Python 2 says __builtin__, and find_class brings both to one spelling.
            **{("builtins", name): make for name, make in containers.items()},
            **{
                (f"scipy.sparse.{place}", f"{kind}_{form}"): made
                for kind, made in sparse.items()
                for form in ("matrix", "array")
                for place in (kind, "base")
            },
        }

    def container(self, make: Callable[..., Any]) -> Callable[..., Any]:
        """A container from at most one other, which counts as often as it is copied."""

        def build(*content: Any) -> Any:
            self.budget.spend(16 * sum(len(part) for part in content))
            return make(*content)

        return build

    def encoded(self, make: Callable[..., Any]) -> Callable[..., Any]:
        """Bytes from text or bytes; a number would ask for so many zeros."""

        def build(content: Any = b"", encoding: str = "latin1") -> Any:
            if not isinstance(content, str | bytes | bytearray) or encoding not in ENCODINGS:
                raise pickle.UnpicklingError("bytes from something that is no text")
            self.budget.spend(len(content))
            raw = content.encode("latin1") if isinstance(content, str) else content
            return make(raw)

        return build

    def storage(self, content: Any) -> Any:
        """The numbers of a tensor, which PyTorch packs once more."""
        import torch

        self.budget.spend(len(content))
        return torch.load(io.BytesIO(content), weights_only=True)

    def reconstruct(self, kind: Any, shape: Any, code: Any) -> np.ndarray:
        """The empty array that NumPy fills afterwards."""
        if kind is not ArrayName or shape != (0,):
            raise pickle.UnpicklingError("an array that is not empty at first")
        return np.empty(0, np.int8).view(self.array)


def reconstructor(kind: Any, base: Any, state: Any) -> Any:
    """An object without content, as protocols 0 and 1 make it."""
    if not (isinstance(kind, type) and issubclass(kind, SparseRows) and state is None):
        raise pickle.UnpicklingError("an object that is no sparse matrix")
    return kind()


def tensor(storage: Any, offset: int, size: Any, stride: Any, *_: Any) -> Any:
    """A tensor over numbers that were read."""
    import torch

    with warnings.catch_warnings():
        # Pickles know storages with a type alone, which PyTorch would be rid of.
        warnings.simplefilter("ignore", UserWarning)
        numbers = torch.empty(0, dtype=storage.dtype)
        return numbers.set_(storage.untyped(), offset, size, stride)


def type_of(kind: Any, objects: bool = False) -> np.dtype:
    """The type that stands in a pickle."""
    if not isinstance(kind, TypeName) or (kind.dtype.hasobject and not objects):
        raise pickle.UnpicklingError("an array of a type that is not allowed")
    return kind.dtype


def scalar(kind: Any, content: Any = b"") -> Any:
    """One number or text of NumPy."""
    dtype = type_of(kind)
    content = content.encode("latin1") if isinstance(content, str) else content
    if dtype.itemsize != len(content):
        raise pickle.UnpicklingError("a number of another length than its type")
    if not content:
        return dtype.type()
    values = np.frombuffer(content, dtype)
    check_characters(values)
    return values[0]


def from_buffer(content: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
    """An array as protocol 5 writes it."""
    values = np.frombuffer(content, type_of(kind)).reshape(shape, order=order)
    check_characters(values)
    return values


def check_lengths(content: bytes | mmap.mmap) -> None:
    """Steps over all operations and raises at one that asks for more than there is.

    Python's reader takes memory for the lengths and the places in its memory that a pickle
    states before it looks whether they can be: nine bytes take gigabytes.
    """
    place, size, operations = 0, len(content), 0
    while place < size:
        code = content[place]
        place, operations = place + 1, operations + 1
        if code == 46:  # The full stop that ends every pickle.
            return
        if code in FIXED:
            form = FIXED[code]
            (number,) = struct.unpack_from(form, content, place)
            place += struct.calcsize(form)
            if code in LENGTHS:
                place += number
            elif code in MEMO and number > operations:
                raise pickle.UnpicklingError("it numbers more things than it holds")
        elif code in LINES:
            for _ in range(LINES[code]):
                end = content.find(b"\n", place)
                if end < 0:
                    raise EOFError("it is cut off")
                # Text of protocol 0 numbers things, too.
                if code == 112 and int(content[place:end]) > operations:
                    raise pickle.UnpicklingError("it numbers more things than it holds")
                place = end + 1
        else:
            place += SKIPS.get(code, 0)
    raise EOFError("it is cut off")


def read_pickle(path: str | os.PathLike[str]) -> Any:
    """What a pickle of plain values, arrays, tensors and sparse matrices holds, of any protocol.

    Both spellings of NumPy's and SciPy's modules are known.  Dictionaries with a default become
    plain ones.

    Raises:
        DamagedDataError: If it is cut off, would call anything else, or would fill the memory.
    """
    with reading(path), Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            raise EOFError("it is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            check_lengths(content)
        return plain(PlainUnpickler(file, size).load())


def plain(content: Any) -> Any:
    """The same with NumPy's own arrays and SciPy's matrices; containers are changed in place."""
    done: dict[int, Any] = {}
    stack: list[Any] = [holder := [content]]
    while stack:
        box = stack.pop()
        items = box.items() if isinstance(box, dict) else enumerate(box)
        for key, value in list(items):
            if isinstance(value, tuple) and any(isinstance(part, MADE) for part in value):
                box[key] = tuple(finished(part, done) for part in value)
            elif isinstance(value, MADE):
                box[key] = finished(value, done)
            elif isinstance(value, list | dict) and id(value) not in done:
                done[id(value)] = value, value
                stack.append(value)
    return holder[0]


MADE = BudgetArray | SparseRows


def finished(value: Any, done: dict[int, Any]) -> Any:
    """A plain array or matrix for what was read, the same one for the same."""
    if not isinstance(value, MADE):
        return value
    if id(value) not in done:
        made = value.matrix() if isinstance(value, SparseRows) else value.view(np.ndarray)
        # The original is held, lest another take its number.
        done[id(value)] = made, value
    return done[id(value)][0]
