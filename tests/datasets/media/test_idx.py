"""MNIST in its published files."""

import gzip
import struct

import numpy as np
import pytest
import torch

from graphkit.datasets import DamagedDataError, MissingDataError, mnist
from graphkit.datasets.media.mnist import read_idx


def idx(values, code=8):
    header = struct.pack(">BBBB", 0, 0, code, values.ndim) + struct.pack(
        f">{values.ndim}I", *values.shape
    )
    return header + values.tobytes()


IMAGES = np.random.default_rng(0).integers(0, 256, size=(3, 28, 28), dtype=np.uint8)
LABELS = np.array([3, 0, 9], dtype=np.uint8)


@pytest.mark.parametrize("place", ["MNIST", "MNIST/raw"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("mark", ["-", "."])
def test_published_files(tmp_path, place, packed, mark):
    folder = tmp_path / place
    folder.mkdir(parents=True)
    for prefix, order in (("train", slice(None)), ("t10k", slice(None, None, -1))):
        for name, values in (
            (f"{prefix}-images{mark}idx3-ubyte", IMAGES[order]),
            (f"{prefix}-labels{mark}idx1-ubyte", LABELS[order]),
        ):
            content = idx(np.ascontiguousarray(values))
            path = folder / (f"{name}.gz" if packed else name)
            path.write_bytes(gzip.compress(content) if packed else content)
    x, y = mnist("train", tmp_path)
    assert y.tolist() == [3, 0, 9]
    assert torch.allclose(x[:, 0], torch.from_numpy(IMAGES) / 255)
    assert mnist("test", tmp_path)[1].tolist() == [9, 0, 3]


@pytest.mark.parametrize(
    ("code", "kind"), [(9, ">i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")]
)
def test_other_types(tmp_path, code, kind):
    values = np.array([[1, 2, -3]]).astype(kind)
    path = tmp_path / "a"
    path.write_bytes(idx(values, code))
    assert np.array_equal(read_idx(path), values)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        idx(IMAGES)[:-1],
        idx(IMAGES) + b"0",
        b"\0\0\x07\x01" + idx(IMAGES)[4:],
        b"<html>",
        b"\0\0\x08\x03" + b"\xff" * 12,
        b"\0\0\x08\xff",
    ],
)
def test_damaged_files_are_named(tmp_path, content):
    (tmp_path / "MNIST").mkdir()
    (tmp_path / "MNIST/train-images-idx3-ubyte").write_bytes(content)
    (tmp_path / "MNIST/train-labels-idx1-ubyte").write_bytes(idx(LABELS))
    with pytest.raises(DamagedDataError, match="train-images-idx3-ubyte"):
        mnist("train", tmp_path)


def test_missing_files_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "MNIST").mkdir()
    (tmp_path / "MNIST/train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    with pytest.raises(MissingDataError, match=r"mnist\.npz"):
        mnist("train", tmp_path)
