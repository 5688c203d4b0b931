"""MATLAB's files against SciPy's writer, and damaged ones."""

import io
import struct
import zlib

import numpy as np
import pytest
from scipy.io import savemat

from graphkit.datasets import DamagedDataError
from graphkit.datasets.store.reading.matlab import read_matlab


def saved(folder, packed=False, **values):
    path = folder / "a.mat"
    savemat(path, values, do_compression=packed)
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_arrays_of_every_type(tmp_path, kind, packed):
    values = (np.arange(24).reshape(2, 3, 4) * 3).astype(kind)
    path = saved(tmp_path, packed, first="text", d_skel=values, last=np.ones(3))
    found = read_matlab(path, "d_skel")
    assert found.dtype == np.float64
    assert np.array_equal(found, values)
    assert read_matlab(path, "last").shape == (1, 3)


def test_short_names_and_few_numbers_are_small_elements(tmp_path):
    path = saved(tmp_path, a=np.array([[7]], np.uint8), bc=np.zeros((0, 3)))
    assert read_matlab(path, "a").tolist() == [[7]]
    assert read_matlab(path, "bc").shape == (0, 3)


def test_big_endian_files(tmp_path):
    def element(kind, content):
        padding = b"\0" * (-len(content) % 8)
        return struct.pack(">II", kind, len(content)) + content + padding

    values = np.array([[1.5, -2.0]])
    body = element(6, struct.pack(">II", 6, 0)) + element(5, struct.pack(">ii", 1, 2))
    body += element(1, b"x") + element(9, values.astype(">f8").tobytes())
    header = b"MATLAB 5.0".ljust(124) + b"\1\0" + b"MI"
    (tmp_path / "a.mat").write_bytes(header + element(14, body))
    assert np.array_equal(read_matlab(tmp_path / "a.mat", "x"), values)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"other": np.ones(3)}, r"no array 'd_skel' but \['other'\]"),
        ({"d_skel": "text"}, "no array of real numbers"),
        ({"d_skel": np.ones(2) * 1j}, "no array of real numbers"),
        ({"d_skel": {"a": 1}}, "no array of real numbers"),
    ],
)
def test_other_things_are_named(tmp_path, values, word):
    with pytest.raises(DamagedDataError, match=f"a\\.mat.*{word}"):
        read_matlab(saved(tmp_path, **values), "d_skel")


def test_damaged_files_are_named(tmp_path):
    values = np.random.default_rng(0).normal(size=(20, 3, 2))
    for packed in (False, True):
        content = saved(tmp_path, packed, d_skel=values).read_bytes()
        for end in (0, 100, 130, 140, 200, len(content) - 40):
            (tmp_path / "b.mat").write_bytes(content[:end])
            with pytest.raises(DamagedDataError, match=r"b\.mat"):
                read_matlab(tmp_path / "b.mat", "d_skel")


def test_a_bomb_takes_no_memory(tmp_path):
    buffer = io.BytesIO()
    savemat(buffer, {"x": np.ones(1)})
    bomb = zlib.compress(b"\0" * (80 << 20), 9)
    bomb = buffer.getvalue()[:128] + struct.pack("<II", 15, len(bomb)) + bomb
    (tmp_path / "a.mat").write_bytes(bomb)
    with pytest.raises(DamagedDataError, match="unpack to more than"):
        read_matlab(tmp_path / "a.mat", "x")
