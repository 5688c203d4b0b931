"""MNIST's images as tensors."""

from __future__ import annotations

import os
import zipfile

import numpy as np
import torch
from torch import Tensor

from graphkit.datasets.store.dataset_card import DatasetCard
from graphkit.datasets.store.errors import DamagedDataError
from graphkit.datasets.store.loading import locate

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
READ_ERRORS = (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile)


def mnist(part: str = "train", root: str | os.PathLike[str] | None = None) -> tuple[Tensor, Tensor]:
    r"""Handwritten digits of the `"Gradient-Based Learning Applied to Document Recognition"
    <https://doi.org/10.1109/5.726791>`_ paper.

    Args:
        part (str, optional): ``"train"`` or ``"test"``. (default: ``"train"``)
        root (str or Path, optional): Folder of the data sets.
            (default: ``GRAPHKIT_DATA``, else ``data`` in the cache folder)

    Shapes:
        - **output:** images :math:`(N, 1, 28, 28)` in [0, 1], digits :math:`(N)`

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
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            images, labels = file[f"x_{part}"], file[f"y_{part}"]
    except READ_ERRORS as error:
        raise DamagedDataError(f"cannot read '{path}': {error}") from error
    if images.ndim != 3 or images.shape[1:] != (28, 28) or labels.shape != images.shape[:1]:
        raise DamagedDataError(
            f"'{path}' holds x_{part} {images.shape} and y_{part} {labels.shape}; expected "
            "[N, 28, 28] and [N]"
        )
    x = torch.from_numpy(images).float().unsqueeze(1) / 255
    return x, torch.from_numpy(labels).long()
