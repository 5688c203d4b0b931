"""Boxes of MOT15: annotated people and published detections; no pixels."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphkit.datasets.store.dataset_card import DatasetCard
from graphkit.datasets.store.errors import DamagedDataError
from graphkit.datasets.store.loading import locate
from graphkit.datasets.store.reading.text import read_table

__all__ = ["MOTBoxes", "mot15"]

LARGEST = 1e9
SEQUENCES = ("TUD-Campus", "TUD-Stadtmitte")
CARD = DatasetCard(
    name="MOT15",
    about="people in video: boxes of two annotated sequences and public detections",
    loader="graphkit.datasets.media.mot15:mot15",
    folder="MOT15",
    files=tuple(
        file
        for name in SEQUENCES
        for file in (f"groundtruth/{name}/gt.txt", f"detections/train/{name}/det/det.txt")
    ),
    raw="",
    source=(
        "gt.txt of the sequences of https://motchallenge.net/data/MOT15, det.txt from "
        "data/train of https://github.com/abewley/sort"
    ),
    terms="of the MOT challenge",
)


@dataclass(frozen=True)
class MOTBoxes:
    """Boxes of a sequence.

    Args:
        frame (torch.Tensor): Frame of each box, from 0, ascending, ``[N]``.
        identity (torch.Tensor): Person in each box, -1 in detections, ``[N]``.
        box (torch.Tensor): Left, top, width and height in pixels, ``[N, 4]``.
        score (torch.Tensor): Confidence, ``[N]``.
        size (tuple of int): Frames, rows and columns of the video.
    """

    frame: Tensor
    identity: Tensor
    box: Tensor
    score: Tensor
    size: tuple[int, int, int]

    def heads(self, cell: float = 12.0) -> Tensor:
        """Row and column of the heads, ``[N, 2]``, in cells of so many pixels."""
        left, top, width, height = self.box.unbind(1)
        return torch.stack([top + 0.15 * height, left + width / 2], 1) / cell


def mot15(
    name: str,
    part: str = "groundtruth",
    root: str | os.PathLike[str] | None = None,
) -> MOTBoxes:
    r"""Boxes of a MOT15 sequence, as in the `"MOTChallenge 2015: Towards a Benchmark for
    Multi-Target Tracking" <https://arxiv.org/abs/1504.01942>`_ paper.

    Args:
        name (str): ``"TUD-Campus"`` or ``"TUD-Stadtmitte"``.
        part (str, optional): ``"groundtruth"`` or ``"detections"``.
            (default: ``"groundtruth"``)
        root (str or Path, optional): Folder of the data sets.
            (default: ``GRAPHKIT_DATA``, else ``data`` in the cache folder)

    Raises:
        MissingDataError: If files are missing; the message names them and where to get them.
        DamagedDataError: If the file is not what was published.
        ValueError: If there is no such sequence or part.

    Example:
        .. code-block:: python

            from graphkit.datasets import mot15

            people = mot15("TUD-Campus")
    """
    if name not in SEQUENCES:
        raise ValueError(f"'name' must be one of {SEQUENCES}, got {name!r}")
    if part not in ("groundtruth", "detections"):
        raise ValueError(f"'part' must be 'groundtruth' or 'detections', got {part!r}")
    folder = locate(CARD, root, fetch=False)
    file = f"{name}/gt.txt" if part == "groundtruth" else f"train/{name}/det/det.txt"
    path = folder / part / file
    table = read_table(path, 10)
    if (table[:, 0] < 1).any() or (table[:, :2] != np.rint(table[:, :2])).any():
        raise DamagedDataError(f"'{path}' is no table of whole frames from 1 and whole identities")
    if (np.abs(table) > LARGEST).any():
        raise DamagedDataError(f"'{path}' holds a number beyond {LARGEST:.0e}")
    rows = torch.from_numpy(table[np.argsort(table[:, 0], kind="stable")])
    frame = rows[:, 0].long() - 1
    return MOTBoxes(
        frame=frame,
        identity=rows[:, 1].long(),
        box=rows[:, 2:6].float(),
        score=rows[:, 6].float(),
        size=(int(frame.max()) + 1, 480, 640),
    )
