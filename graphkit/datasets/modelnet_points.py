"""ModelNet10 as point sets, drawn from voxels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data, InMemoryDataset

from graphkit.datasets.store.in_place import InPlace
from graphkit.datasets.store.reading.archives import read_arrays
from graphkit.guard import DamagedDataError

__all__ = ["ModelNet10Points"]

FILE = "modelnet10.npz"


class ModelNet10Points(InPlace, InMemoryDataset):
    r"""Shapes of ten kinds as point sets: ModelNet10 of the `"3D ShapeNets: A Deep
    Representation for Volumetric Shapes" <https://arxiv.org/abs/1406.5670>`_ paper, from a file
    of :math:`30^3` voxels.

    .. math::
        p = \frac{c + u - \mu}{\max_q \lVert c_q + u_q - \mu \rVert_2}, \quad
        u \sim \mathcal{U}[0, 1)^3

    with :math:`c` an occupied voxel and :math:`\mu` the mean of the points. A shape with too few
    voxels gives several points of the same one. Points from voxels are coarser than the points
    on the published meshes, so accuracies are not those of the literature. The file's eight
    empty shapes are left out.

    Args:
        root (str): Folder of the data set.
        raw_folder (str or Path): Folder of :obj:`modelnet10.npz`, with :obj:`X_train`,
            :obj:`y_train`, :obj:`X_test` and :obj:`y_test`.
        processed_folder (str or Path): Folder of the processed files.
        split (str, optional): ``"train"`` or ``"test"``. (default: :obj:`"train"`)
        num_points (int, optional): Points per shape. (default: :obj:`1024`)
        seed (int, optional): Seed of the points. (default: :obj:`0`)
        transform (callable, optional): Applied at every access. (default: :obj:`None`)

    Shapes:
        - **output:** one graph without edges per shape: :obj:`pos` :math:`(P, 3)` in the unit
          ball, :obj:`y` :math:`(1)`

    Raises:
        DamagedDataError: If the file cannot be read or its arrays do not fit.
        ValueError: If an option is out of range.

    Example:
        .. code-block:: python

            from graphkit.datasets import load

            shapes = load("ModelNet10Points", split="test", num_points=256)
    """

    also_read = ()

    def __init__(
        self,
        root: str,
        *,
        raw_folder: str | os.PathLike[str],
        processed_folder: str | os.PathLike[str],
        split: str = "train",
        num_points: int = 1024,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        if split not in ("train", "test"):
            raise ValueError(f"'split' must be 'train' or 'test', got {split!r}")
        if num_points < 1:
            raise ValueError(f"'num_points' must be at least 1, got {num_points}")
        self.num_points, self.seed = num_points, seed
        super().__init__(root, raw_folder=raw_folder, processed_folder=processed_folder, **kwargs)
        self.load(self.processed_paths[split == "test"])

    @property
    def raw_file_names(self) -> str:
        return FILE

    @property
    def processed_file_names(self) -> list[str]:
        return ["train.pt", "test.pt"]

    def process(self) -> None:
        path = Path(self.raw_dir) / FILE
        for part, processed in zip(("train", "test"), self.processed_paths, strict=True):
            voxels, labels = read(path, part)
            generator = np.random.default_rng([self.seed, part == "test"])
            self.save(
                [
                    Data(pos=draw(cells, self.num_points, generator), y=torch.tensor([int(y)]))
                    for cells, y in zip(voxels, labels, strict=True)
                    if cells.any()
                ],
                processed,
            )


def read(path: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """The voxels :math:`(S, 30, 30, 30)` of one part, as booleans, and their labels."""
    arrays = read_arrays(path, (f"X_{part}", f"y_{part}"))
    voxels, labels = arrays[f"X_{part}"], arrays[f"y_{part}"]
    if voxels.ndim != 4 or labels.shape != voxels.shape[:1]:
        raise DamagedDataError(
            f"'{path}' holds X_{part} of shape {voxels.shape} and y_{part} of shape "
            f"{labels.shape}; expected four dimensions and one label per shape"
        )
    whole = labels.dtype.kind in "biuf" and bool((labels == np.rint(labels)).all())
    if voxels.dtype.kind not in "biuf" or not whole or labels.min(initial=0) < 0:
        raise DamagedDataError(f"'{path}' holds voxels of {voxels.dtype}, labels of {labels.dtype}")
    return voxels > 0, labels


def draw(cells: np.ndarray, num_points: int, generator: np.random.Generator) -> torch.Tensor:
    """Points in the occupied cells, centred and scaled into the unit ball."""
    occupied = np.argwhere(cells)
    drawn = generator.permutation(len(occupied))[:num_points]
    missing = generator.integers(len(occupied), size=num_points - len(drawn))
    points = occupied[np.concatenate([drawn, missing])] + generator.random((num_points, 3))
    points -= points.mean(axis=0)
    radius = np.linalg.norm(points, axis=1).max()
    return torch.from_numpy(points / (radius or 1.0)).float()
