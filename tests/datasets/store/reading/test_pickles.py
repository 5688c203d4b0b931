import pickle
import resource
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from graphkit.datasets import DamagedDataError
from graphkit.datasets.store.reading.pickles import read_pickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
DENSE = np.array([[0.0, 2.0, 0.0], [1.0, 0.0, 3.0]], dtype=np.float32)
VALUES = {
    "numbers": [1, -(2**70), 2.5, True, None, 1 + 2j, "ä", b"\xff", bytearray(b"x")],
    "containers": {"a": (1, [2]), "b": {3}, "c": frozenset([4]), "d": OrderedDict(e=5)},
    "neighbours": defaultdict(list, {0: [1, 2], 1: [0]}),
    "scalars": [np.float32(1.5), np.int64(-3), np.str_("name"), np.bool_(True)],
}
ARRAYS = {
    "float": DENSE,
    "fortran": np.asfortranarray(DENSE),
    "big end": DENSE.astype(">f8"),
    "text": np.array(["a", "bcd"]),
    "objects": np.array([1, "a", None], dtype=object),
    "none": np.empty((0, 4), dtype=np.int8),
    "one": np.array(3),
}


def written(path, value, protocol, old=False):
    content = pickle.dumps(value, protocol)
    for new, former in ((b"numpy._core", b"numpy.core"), (b"sparse._cs", b"sparse.cs")):
        # The names are as long as a byte before them says, from protocol 4 on.
        if old and protocol < 4:
            content = content.replace(new, former)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_values_of_every_protocol(tmp_path, protocol):
    for value in VALUES.values():
        found = read_pickle(written(tmp_path / "a", value, protocol))
        assert found == value
        assert type(found) is (dict if isinstance(value, defaultdict) else type(value))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("old", [False, True])
def test_arrays_of_every_protocol_and_both_spellings(tmp_path, protocol, old):
    for array in ARRAYS.values():
        for value in (array, [array], (array, 1), {"a": array}):
            found = read_pickle(written(tmp_path / "a", value, protocol, old))
            while not isinstance(found, np.ndarray):
                found = found["a"] if isinstance(found, dict) else found[0]
            assert type(found) is np.ndarray
            # Up to protocol 4 NumPy turns round the bytes of other machines.
            assert found.dtype == pickle.loads(pickle.dumps(array, protocol)).dtype
            assert np.array_equal(found, array)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("make", [sp.csr_matrix, sp.csc_matrix, sp.coo_matrix])
def test_sparse_matrices(tmp_path, protocol, old, make):
    found = read_pickle(written(tmp_path / "a", make(DENSE), protocol, old))
    assert isinstance(found, make)
    assert np.array_equal(found.toarray(), DENSE)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tensors(tmp_path, protocol):
    tensors = [torch.arange(6).view(2, 3).t(), torch.ones(2, dtype=torch.float16), torch.empty(0)]
    found = read_pickle(written(tmp_path / "a", {"a": tensors}, protocol))["a"]
    for one, two in zip(found, tensors, strict=True):
        assert one.dtype == two.dtype
        assert torch.equal(one, two)


def harmful(tmp_path):
    """Objects that call something when they are read."""
    harm = tmp_path / "harm"

    def by(function, *arguments):
        return type("Harm", (), {"__reduce__": lambda _: (function, arguments)})()

    code = f"open({str(harm)!r}, 'w')"
    return [by(exec, code), by(eval, code), by(open, str(harm), "w"), by(getattr, "a", "upper")]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nothing_is_run(tmp_path, protocol):
    for harm in harmful(tmp_path):
        path = written(tmp_path / "a", [1, {"a": harm}], protocol)
        with pytest.raises(DamagedDataError, match="would call"):
            read_pickle(path)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("name", [b"numpy\nload", b"numpy\nfromfile", b"numpy.core.numeric\nones"])
def test_no_other_name_of_numpy_is_known(tmp_path, name):
    (tmp_path / "a").write_bytes(b"c" + name + b"\n(K\x01tR.")
    with pytest.raises(DamagedDataError, match="would call 'numpy"):
        read_pickle(tmp_path / "a")


def wide(indices, pointers=(0, 1, 2), shape=(2, 3)):
    """A matrix whose parts do not fit each other, as SciPy would take it."""
    matrix = sp.csr_matrix(np.eye(2, 3))
    matrix.indices, matrix.indptr = np.array(indices), np.array(pointers)
    matrix._shape = shape
    return matrix


@pytest.mark.parametrize(
    "matrix",
    [
        wide([0, 9]),
        wide([0, -1]),
        wide([0, 1], (0, 1, 9)),
        wide([0, 1], (0, 2, 1)),
        wide([0, 1], (0, 1, 2, 2)),
        wide([0.5, 1.0]),
        wide([0, 1], shape=(10**9, 3)),
    ],
)
def test_matrices_that_point_outside_are_refused(tmp_path, matrix):
    with pytest.raises(DamagedDataError, match="sparse matrix"):
        read_pickle(written(tmp_path / "a", matrix, 2))


def doubling(times):
    """Text that every call makes longer, from a few bytes."""
    return (
        b"c_codecs\nencode\n(" * times + b"X\x01\x00\x00\x00a" + b"X\x03\x00\x00\x00hextR" * times
    )


BOMBS = {
    "memo": b"Nr\xff\xff\xff\x08.",
    "memo in text": b"Np999999999\n.",
    "bytes": b"\x80\x04\x8e" + (2**40).to_bytes(8, "little") + b"a.",
    "text": b"\x80\x04\x8d" + (2**40).to_bytes(8, "little") + b"a.",
    "bytearray": b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b"a.",
    "frame": b"\x80\x04\x95" + (2**40).to_bytes(8, "little") + b"N.",
    "long": b"\x8b" + (2**31 - 1).to_bytes(4, "little") + b"a.",
    "zeros": b"c__builtin__\nbytearray\n(I9999999999\ntR.",
    "array": b"cnumpy\nndarray\n(I9999999999\ntR.",
    "empty array": (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I99999999\ntU\x01btR."
    ),
    "encoding": doubling(40) + b".",
    "range": b"c__builtin__\nrange\n(I9999999999\ntR.",
    "copies": b"(" + b"N" * 20_000 + b"lq\x01]" + b"c__builtin__\nlist\n(h\x01tRa" * 20_000 + b".",
    "deep": b"(" * 50_000 + b"l" * 50_000,
    "cut": b"\x80\x04K",
    "nothing": b"",
    "stack": b"\x80\x02R.",
    "mark": b"t.",
    "extension": b"\x82\x01.",
    "outside": b"Pname\n.",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_refused_before_they_fill_the_memory(tmp_path, bomb):
    (tmp_path / "a").write_bytes(BOMBS[bomb])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DamagedDataError):
        read_pickle(tmp_path / "a")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200 << 10  # kilobytes


def test_an_array_counts_as_often_as_it_is_copied(tmp_path):
    """Small states that are named again and again add up."""
    once = pickle.dumps(np.zeros(1 << 17), protocol=2)[:-1]
    fresh, state = once[: once.index(b"(K\x01")], once[once.index(b"(K\x01") : -1]
    # The same state of a megabyte is put into a thousand new arrays.
    again = fresh[2:] + b"h\x14b"
    (tmp_path / "a").write_bytes(once[:2] + b"]" + fresh[2:] + state + b"q\x14ba" + again + b"a.")
    assert len(read_pickle(tmp_path / "a")) == 2
    many = (again + b"a") * 1000
    (tmp_path / "a").write_bytes(once[:2] + b"]" + fresh[2:] + state + b"q\x14ba" + many + b".")
    with pytest.raises(DamagedDataError, match="more memory than it is long"):
        read_pickle(tmp_path / "a")
