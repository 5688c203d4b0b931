"""Boxes of any sequence in the MOT challenge's format, by folder: MOT15 to MOT20 and one's own."""

from __future__ import annotations

import configparser
import math
import os
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from graphkit.datasets.store.errors import MissingDataError
from graphkit.guard import DamagedDataError, reading
from graphkit.text_files import read_table, read_text

__all__ = ["MOTBoxes", "mot_sequence"]

LARGEST = 1e9
PEDESTRIAN = 1
UNKNOWN = -1
COLUMNS = (6, 7, 9, 10)
"""What files have: frame, identity and box; then score; then class and visibility, or places."""
FILES = {"groundtruth": ("gt/gt.txt", "gt.txt"), "detections": ("det/det.txt", "det.txt")}


@dataclass(frozen=True)
class MOTBoxes:
    """Boxes of a sequence.

    Args:
        frame (torch.Tensor): Frame of each box, from 0, ascending, ``[N]``.
        identity (torch.Tensor): Person in each box, -1 in detections, ``[N]``.
        box (torch.Tensor): Left, top, width and height in pixels, ``[N, 4]``.
        score (torch.Tensor): Confidence, or in annotations 0 for boxes that do not count, ``[N]``.
        size (tuple of int): Frames, rows and columns of the video.
        category (torch.Tensor): Class of each box, 1 a pedestrian, -1 where the file has none,
            ``[N]``.
        visibility (torch.Tensor): Share of each box that is seen, 1 where the file does not say,
            ``[N]``.
    """

    frame: Tensor
    identity: Tensor
    box: Tensor
    score: Tensor
    size: tuple[int, int, int]
    category: Tensor
    visibility: Tensor

    def heads(self, cell: float = 12.0) -> Tensor:
        """Row and column of the heads, ``[N, 2]``, in cells of so many pixels."""
        left, top, width, height = self.box.unbind(1)
        return torch.stack([top + 0.15 * height, left + width / 2], 1) / cell

    def select(self, rows: Tensor) -> MOTBoxes:
        """Some of the boxes, by a mask or by numbers."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return MOTBoxes(**{k: v if k == "size" else v[rows] for k, v in parts.items()})

    def pedestrians(self, min_visibility: float = 0.0) -> MOTBoxes:
        """Those that the challenge counts: of class 1 or none, annotated as such, and seen.

        Args:
            min_visibility (float, optional): The least share that is seen. (default: :obj:`0.0`)
        """
        counts = (self.category == PEDESTRIAN) | (self.category < 0)
        return self.select(counts & (self.score > 0) & (self.visibility >= min_visibility))

    def tracks(self) -> tuple[Tensor, Tensor, Tensor]:
        """Frames, identities and boxes, as :func:`graphkit.metrics.hota` takes them."""
        return self.frame, self.identity, self.box


def mot_sequence(folder: str | os.PathLike[str], part: str = "groundtruth") -> MOTBoxes:
    r"""Boxes of a sequence in the format of the `"MOT16: A Benchmark for Multi-Object Tracking"
    <https://arxiv.org/abs/1603.00831>`_ paper and of the challenges before and after it.

    .. math::
        \text{frame}, \text{identity}, \text{left}, \text{top}, \text{width}, \text{height},
        \text{score} \, [, \text{class}, \text{visibility}]

    The folder holds ``gt/gt.txt`` or ``det/det.txt``, or the file itself, and perhaps
    ``seqinfo.ini``, which knows the size of the video; else it is that of the boxes. A visibility
    of -1 is one that the file does not say. MOT16, MOT17
    and MOT20 have nine columns, MOT15 ten, whose last three are places in the world, detections
    seven or ten.

    Args:
        folder (str or Path): The sequence, such as ``train/MOT17-02-FRCNN``, or a file of boxes.
        part (str, optional): ``"groundtruth"`` or ``"detections"``. (default: ``"groundtruth"``)

    Raises:
        MissingDataError: If there is no such file; the message names it.
        DamagedDataError: If it is not in the format, or somebody is in a frame twice; the message
            names the place.
        ValueError: If there is no such part.

    Example:
        .. code-block:: python

            from graphkit.datasets import mot_sequence

            people = mot_sequence("MOT17/train/MOT17-02-FRCNN").pedestrians(min_visibility=0.1)
    """
    if part not in FILES:
        raise ValueError(f"'part' must be one of {tuple(FILES)}, got {part!r}")
    place = Path(folder).expanduser()
    if place.is_file():
        # The file alone: what is known of the video lies beside it, or above its folder.
        beside = (near / "seqinfo.ini" for near in (place.parent, place.parent.parent))
        return read_boxes(place, next(filter(None, map(stated_size, beside)), None))
    path = next((place / name for name in FILES[part] if (place / name).is_file()), None)
    if path is None:
        raise MissingDataError(
            f"'{folder}' is no sequence with {part}: it needs {' or '.join(FILES[part])}"
        )
    return read_boxes(path, stated_size(place / "seqinfo.ini"))


def read_boxes(path: Path, size: tuple[int, int, int] | None = None) -> MOTBoxes:
    """The boxes of one file."""
    table = read_table(path)
    if table.shape[1] not in COLUMNS:
        raise DamagedDataError(
            f"'{path}' has {table.shape[1]} columns, expected 7, 9 or 10, or 6 without a score"
        )
    if (table[:, 0] < 1).any() or (table[:, :2] != np.rint(table[:, :2])).any():
        raise DamagedDataError(f"'{path}' is no table of whole frames from 1 and whole identities")
    if (np.abs(table) > LARGEST).any():
        raise DamagedDataError(f"'{path}' holds a number beyond {LARGEST:.0e}")
    check_identities(path, table)
    rows = torch.from_numpy(table[np.argsort(table[:, 0], kind="stable")])
    category, visibility = torch.full((len(rows),), -1), torch.ones(len(rows))
    if table.shape[1] == 9:
        if (table[:, 7] != np.rint(table[:, 7])).any():
            raise DamagedDataError(f"'{path}' has classes that are no whole numbers")
        unknown = table[:, 8] == UNKNOWN
        if not (unknown | (table[:, 8] >= 0) & (table[:, 8] <= 1)).all():
            raise DamagedDataError(f"'{path}' has visibilities that are not between 0 and 1")
        category, visibility = rows[:, 7].long(), rows[:, 8].float()
        visibility[visibility == UNKNOWN] = 1
    frame, box = rows[:, 0].long() - 1, rows[:, 2:6].float()
    if size is None:
        corner = (box[:, :2] + box[:, 2:]).amax(0).clamp(min=1).ceil().long().tolist()
        size = (int(frame.max()) + 1, corner[1], corner[0])
    if int(frame.max()) >= size[0]:
        raise DamagedDataError(
            f"'{path}' has boxes in frame {int(frame.max()) + 1} of a sequence of {size[0]}"
        )
    score = rows[:, 6].float() if table.shape[1] > 6 else torch.ones(len(rows))
    return MOTBoxes(frame, rows[:, 1].long(), box, score, size, category, visibility)


def check_identities(path: Path, table: np.ndarray) -> None:
    """Refuses somebody who is in a frame twice; -1 is nobody in particular."""
    pairs, times = np.unique(table[table[:, 1] >= 0, :2], axis=0, return_counts=True)
    for frame, identity in pairs[times > 1][:1]:
        raise DamagedDataError(f"'{path}' has identity {identity:.0f} twice in frame {frame:.0f}")


def stated_size(path: Path) -> tuple[int, int, int] | None:
    """Frames, rows and columns as ``seqinfo.ini`` says; nothing without the file."""
    if not path.is_file():
        return None
    text = read_text(path)
    with reading(path):
        parser = configparser.ConfigParser(interpolation=None)
        parser.read_string(text)
        section = parser["Sequence"]
        frames, rows, columns = (int(section[key]) for key in ("seqLength", "imHeight", "imWidth"))
        if not 0 < min(frames, rows, columns) <= max(frames, rows, columns) < math.inf:
            raise ValueError(f"its sizes are {frames}, {rows} and {columns}")
        if max(frames, rows, columns) > LARGEST:
            raise ValueError(f"its sizes are beyond {LARGEST:.0e}")
    return frames, rows, columns
