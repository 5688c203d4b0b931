"""MNIST's images as tensors."""

from __future__ import annotations

import os

import numpy as np
import torch
from torch import Tensor

from graphkit.datasets.store.dataset_card import DatasetCard
from graphkit.datasets.store.errors import DamagedDataError
from graphkit.datasets.store.loading import locate
from graphkit.datasets.store.reading.archives import read_arrays
from graphkit.datasets.store.reading.guard import reading

__all__ = ["mnist"]

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

    Shapes:
        - **output:** images :math:`(N, 1, 28, 28)` in [0, 1], digits :math:`(N)`; fractions in
          the file that do not exceed 1 are taken as they are, all else is divided by 255

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
    path = locate(CARD, root, fetch=False) / "mnist.npz"
    arrays = read_arrays(path, (f"x_{part}", f"y_{part}"))
    images, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
    if images.ndim != 3 or images.shape[1:] != (28, 28) or labels.shape != images.shape[:1]:
        raise DamagedDataError(
            f"'{path}' holds x_{part} {images.shape} and y_{part} {labels.shape}; expected "
            "[N, 28, 28] and [N]"
        )
    with reading(path):
        return torch.from_numpy(ink(images)).unsqueeze(1), torch.from_numpy(digits(labels))


def ink(images: np.ndarray) -> np.ndarray:
    """Images in [0, 1], whether they are stored so or as whole numbers up to 255."""
    if images.dtype.kind == "b":
        return images.astype(np.float32)
    if images.dtype.kind not in "iuf" or not np.isfinite(images).all():
        raise ValueError(f"its images are {images.dtype}, or not finite")
    low, high = (images.min(), images.max()) if images.size else (0, 0)
    if low < 0 or high > 255:
        raise ValueError(f"its images are in {low} … {high}, expected 0 … 1 or 0 … 255")
    scaled = images.dtype.kind == "f" and high <= 1
    return images.astype(np.float32) / (1 if scaled else 255)


def digits(labels: np.ndarray) -> np.ndarray:
    """Labels from 0 to 9, stored as numbers of any type."""
    wrong = labels.dtype.kind not in "iuf" or not np.isin(labels, np.arange(10)).all()
    if wrong:
        raise ValueError("its labels are no digits from 0 to 9")
    return labels.astype(np.int64)
