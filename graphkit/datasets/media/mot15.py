"""Boxes of MOT15: annotated people and published detections; no pixels."""

from __future__ import annotations

import os
from dataclasses import replace

from graphkit.datasets.media.mot import MOTBoxes, read_boxes
from graphkit.datasets.store.dataset_card import DatasetCard
from graphkit.datasets.store.loading import locate

__all__ = ["mot15"]

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
    boxes = read_boxes(path, (int(1e9) + 1, 480, 640))
    return replace(boxes, size=(int(boxes.frame.max()) + 1, 480, 640))
