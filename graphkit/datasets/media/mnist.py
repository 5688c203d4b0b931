"""MNIST's images as tensors."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from graphkit.datasets.store.dataset_card import DatasetCard
from graphkit.datasets.store.folders import search_path
from graphkit.datasets.store.loading import locate
from graphkit.datasets.store.reading.archives import read_arrays, read_gzip
from graphkit.guard import DamagedDataError, reading

__all__ = ["mnist", "read_idx"]

IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
"""What the third byte of a file stands for."""

CARD = DatasetCard(
    name="MNIST",
    about="handwritten digits, 28 x 28",
    loader="graphkit.datasets.media.mnist:mnist",
    folder="MNIST",
    files=("mnist.npz",),
    raw="",
    source="the images of https://github.com/rasbt/mnist-pngs, joined in mnist.npz",
    terms="MIT (repository)",
)


def mnist(part: str = "train", root: str | os.PathLike[str] | None = None) -> tuple[Tensor, Tensor]:
    r"""Handwritten digits of the `"Gradient-Based Learning Applied to Document Recognition"
    <https://doi.org/10.1109/5.726791>`_ paper.

    Args:
        part (str, optional): ``"train"`` or ``"test"``. (default: ``"train"``)
        root (str or Path, optional): Folder of the data sets.
            (default: ``GRAPHKIT_DATA``, else ``data`` in the cache folder)

    Reads ``mnist.npz``, or where that is not there the four published files, packed or not, such as
    ``train-images-idx3-ubyte.gz``, beside it or in ``raw``.

    Shapes:
        - **output:** images :math:`(N, 1, 28, 28)` in [0, 1], digits :math:`(N)`; fractions in
          the file that do not exceed 1, and black and white as 0 and 1, are taken as they are,
          all else is divided by 255

    Raises:
        MissingDataError: If the file is missing; the message says where to get it.
        DamagedDataError: If it cannot be read or its arrays do not fit.
        ValueError: If there is no such part.

    Example:
        .. code-block:: python

            from graphkit.datasets import mnist

            images, digits = mnist("test")
    """
    if part not in ("train", "test"):
        raise ValueError(f"'part' must be 'train' or 'test', got {part!r}")
    pair = published(part, root)
    if pair is None:
        path = locate(CARD, root, fetch=False) / "mnist.npz"
        arrays = read_arrays(path, (f"x_{part}", f"y_{part}"))
        images, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
    else:
        path, (images, labels) = pair[0], (read_idx(file) for file in pair)
    if images.ndim != 3 or images.shape[1:] != (28, 28) or labels.shape != images.shape[:1]:
        raise DamagedDataError(
            f"'{path}' holds x_{part} {images.shape} and y_{part} {labels.shape}; expected "
            "[N, 28, 28] and [N]"
        )
    with reading(path):
        return torch.from_numpy(ink(images)).unsqueeze(1), torch.from_numpy(digits(labels))


def published(part: str, root: str | os.PathLike[str] | None) -> list[Path] | None:
    """The published files of images and labels; nothing where ``mnist.npz`` is, or none is."""
    prefix = "train" if part == "train" else "t10k"
    for base in search_path(root):
        folder = base / CARD.folder
        if (folder / "mnist.npz").is_file():
            return None
        for place in (folder, folder / "raw"):
            for mark in "-.":
                names = (f"{prefix}-images{mark}idx3-ubyte", f"{prefix}-labels{mark}idx1-ubyte")
                files = [first_file(place, name) for name in names]
                if all(files):
                    return [file for file in files if file is not None]
    return None


def first_file(place: Path, name: str) -> Path | None:
    """A file, packed or not."""
    return next((p for p in (place / name, place / f"{name}.gz") if p.is_file()), None)


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    r"""An array in the format of MNIST's published files, packed or not.

    Raises:
        DamagedDataError: If the file is not as long as its header says, or its header is none.
    """
    packed = str(path).endswith(".gz")
    with reading(path):
        content = read_gzip(path) if packed else Path(path).read_bytes()
        if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_TYPES:
            raise ValueError("it does not begin as an idx file does")
        start = 4 + 4 * content[3]
        shape = tuple(np.frombuffer(content[4:start], ">u4").astype(int).tolist())
        kind = np.dtype(IDX_TYPES[content[2]])
        # Looked at before any array is made: a header may say anything.
        if len(shape) != content[3] or len(content) - start != math.prod(shape) * kind.itemsize:
            raise ValueError(f"its header says {shape} of {kind}, {len(content)} bytes are there")
        return np.frombuffer(content, kind, offset=start).reshape(shape)


def ink(images: np.ndarray) -> np.ndarray:
    """Images in [0, 1], whether they are stored so or as whole numbers up to 255."""
    if images.dtype.kind == "b":
        return images.astype(np.float32)
    if images.dtype.kind not in "iuf" or not np.isfinite(images).all():
        raise ValueError(f"its images are {images.dtype}, or not finite")
    if not images.size:
        raise ValueError("it holds no image")
    low, high = images.min(), images.max()
    # The brightest of a set is near 1 or 255; a little above 1 is neither.
    if low < 0 or high > 255 or 1 < high < 2:
        raise ValueError(f"its images are in {low} … {high}, expected 0 … 1 or 0 … 255")
    return images.astype(np.float32) / (1 if high <= 1 else 255)


def digits(labels: np.ndarray) -> np.ndarray:
    """Labels from 0 to 9, stored as numbers of any type."""
    wrong = labels.dtype.kind not in "iuf" or not np.isin(labels, np.arange(10)).all()
    if wrong:
        raise ValueError("its labels are no digits from 0 to 9")
    return labels.astype(np.int64)
