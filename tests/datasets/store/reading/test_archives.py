import gzip
import io
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch

from graphkit.datasets import DamagedDataError
from graphkit.datasets.store.reading.archives import read_arrays, read_gzip, read_npy_length
from graphkit.tensor_files import read_tensors, read_zip
from graphkit.testing.damage import make_hole

ARRAYS = {
    "a": np.arange(12.0).reshape(3, 4),
    "b": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
    "c": np.array(["x", "yz"]),
    "d": np.array(5),
    "e": np.empty((0, 3)),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_numpys(tmp_path, save):
    path = tmp_path / "a.npz"
    save(path, **ARRAYS)
    arrays = read_arrays(path, list(ARRAYS), ("absent",))
    assert list(arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        assert np.array_equal(arrays[name], array)


def declared(shape, kind="<f8"):
    """A ``.npy`` whose header promises more than follows."""
    buffer = io.BytesIO()
    header = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + bytes(64)


BAD = {
    "more rows than bytes": declared((10**14,)),
    "negative": declared((-1,)),
    "objects": declared((8,), "|O"),
    "nothing": b"",
    "no array": b"\x93NUMPX",
    "version": b"\x93NUMPY\x09\x00",
}


@pytest.mark.parametrize("fault", BAD)
def test_headers_are_looked_at_before_memory_is_taken(tmp_path, fault):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", BAD[fault])
    (tmp_path / "a.npy").write_bytes(BAD[fault])
    with pytest.raises(DamagedDataError, match=r"a\.npz', array 'a'"):
        read_arrays(path, ["a"])
    with pytest.raises((ValueError, EOFError)):
        read_npy_length(tmp_path / "a.npy")


def test_a_member_that_nobody_reads_may_be_anything(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, a=ARRAYS["a"], names=np.array([{}, None], dtype=object))
    assert list(read_arrays(path, ["a"])) == ["a"]
    with pytest.raises(DamagedDataError, match="lacks the array x, y"):
        read_arrays(path, ["a", "x", "y"])


def test_bombs_take_no_memory(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(65 << 20))
    with gzip.open(tmp_path / "a.gz", "wb", 6) as file:
        file.write(bytes(65 << 20))
    tracemalloc.start()
    for read in (read_zip, lambda path: read_arrays(path, ["a"]), read_tensors):
        with pytest.raises(DamagedDataError, match="no data set does that"):
            read(tmp_path / "a.npz")
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()
    with pytest.raises(DamagedDataError, match="no data set does that"):
        read_gzip(tmp_path / "a.gz")


def test_a_page_of_the_web_is_called_so(tmp_path):
    path = tmp_path / "a.npz"
    path.write_text("<!DOCTYPE html><html>not found</html>")
    with pytest.raises(DamagedDataError, match="a web page") as caught:
        read_arrays(path, ["a"])
    assert "pickle" not in str(caught.value)


@pytest.mark.parametrize("flags", [1, 64])
def test_members_that_cannot_be_unpacked_are_named(tmp_path, flags):
    """Encryption and unknown compression raise RuntimeError and NotImplementedError."""
    path = tmp_path / "a.npz"
    np.savez(path, **ARRAYS)
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        place = content.find(mark)
        content[place + offset + (0 if flags == 1 else 2)] = 1 if flags == 1 else 95
    path.write_bytes(bytes(content))
    with pytest.raises(DamagedDataError, match=r"a\.npz"):
        read_arrays(path, ["a"])


@pytest.mark.parametrize("content", [b"", b"junk", b"\x80\x02}q\x00.", b"<!DOCTYPE html>"])
def test_tensors(tmp_path, content):
    path = tmp_path / "a.pt"
    torch.save({"a": torch.ones(3)}, path)
    assert read_tensors(path)["a"].tolist() == [1, 1, 1]
    path.write_bytes(content)
    with pytest.raises(DamagedDataError, match=r"a\.pt") as caught:
        read_tensors(path)
    # PyTorch advises to read what may run code.
    assert "weights_only" not in str(caught.value)


def test_a_hole_in_tensors_is_noticed(tmp_path):
    """PyTorch itself reads zeros there."""
    path = tmp_path / "a.pt"
    torch.save({"a": torch.ones(10_000)}, path)
    make_hole(path)
    assert (torch.load(path, weights_only=True)["a"] == 0).any()
    with pytest.raises(DamagedDataError, match=r"a\.pt"):
        read_tensors(path)


def test_tensors_that_would_run_code_are_refused(tmp_path):
    class Harm:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'harm')!r}, 'w')",))

    torch.save({"a": Harm()}, tmp_path / "a.pt")
    with pytest.raises(DamagedDataError, match=r"a\.pt"):
        read_tensors(tmp_path / "a.pt")
    assert not (tmp_path / "harm").exists()
