"""NTU RGB+D and NTU RGB+D 120, from the raw text or from the community's pickle."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from graphkit.data.skeleton_graph import SkeletonGraph
from graphkit.datasets.skeletons.annotations import read_annotations
from graphkit.datasets.skeletons.base import SkeletonDataset
from graphkit.datasets.skeletons.ntu.actors import find_actors
from graphkit.datasets.skeletons.ntu.raw import read_skeleton
from graphkit.datasets.store.folders import visible
from graphkit.datasets.store.in_place import InPlace
from graphkit.guard import DamagedDataError, reading
from graphkit.text_files import read_text

__all__ = ["NTURGBD"]

NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})")
FACTS = ("setup", "camera", "subject", "replication")
CLIPS, MISSING = "*.skeleton", "*_with_missing_skeletons.txt"
FLAT = (17, 18)
"""Joints of the skeletons that are found in images."""
LAYOUTS = {25: "ntu-25", 17: "coco-17", 18: "openpose-18"}
SUBJECTS_60 = (1, 2, 4, 5, 8, 9, *range(13, 20), 25, 27, 28, 31, 34, 35, 38)
SUBJECTS_120 = (
    *(*SUBJECTS_60, 45, 46, 47, 49, 50, *range(52, 60), 70, 74, 78, *range(80, 87), 89),
    *(*range(91, 96), 97, 98, 100, 103),
)


class NTURGBD(InPlace, SkeletonDataset):
    r"""The skeletons of the `"NTU RGB+D: A Large Scale Dataset for 3D Human Activity Analysis"
    <https://arxiv.org/abs/1604.02808>`_ and `"NTU RGB+D 120"
    <https://arxiv.org/abs/1905.04757>`_ papers: 56,880 and 114,480 clips, 60 and 120 actions,
    25 joints, up to two persons.

    .. math::
        \text{x-sub: } \text{subject}_i \in S, \quad
        \text{x-view: } \text{camera}_i \in \{2, 3\}, \quad
        \text{x-set: } \text{setup}_i \text{ even}

    train; the others test. From the raw text the persons are those that
    :func:`~graphkit.datasets.skeletons.ntu.actors.find_actors` finds. Clips without any body,
    and those that a file ``…_with_missing_skeletons.txt`` beside the raw ones names, are left
    out, as everybody does. The licence forbids to pass the data on: ask its authors for them.

    The list may name files with their ending, one a line or parted by commas.

    Args:
        root (str): Folder of the data set.
        raw_folder (str or Path): Folder of the ``.skeleton`` files, or of the pickle.
        processed_folder (str or Path): Folder of the processed file.
        num_classes (int, optional): 60 or 120; clips of further actions are left out.
            (default: :obj:`60`)
        annotations (str, optional): Name of a pickle of ``{split, annotations}`` to read
            instead, as :func:`~graphkit.datasets.skeletons.annotations.read_annotations` does;
            its 2-D skeletons have their score as third channel, which ``scored`` says, also where
            the pickle has it there already, and the size of their video as ``img_shape``, which
            :class:`~graphkit.transforms.PixelNormalize` uses. Classes are the pickle's labels.
            (default: :obj:`None`)
        transform (callable, optional): Applied at every access. (default: :obj:`None`)

    Shapes:
        - **output:** per clip :obj:`x` :math:`(2 \cdot 25, 3, T)` in metres, :obj:`y`,
          :obj:`setup`, :obj:`camera`, :obj:`subject` and :obj:`replication` :math:`(1)`

    Raises:
        DamagedDataError: If a file cannot be read or is not in the format; the message names
            the file and the line.
        ValueError: If :obj:`num_classes` is neither 60 nor 120.

    Example:
        .. code-block:: python

            from graphkit.datasets import load

            train, test = load("NTU60").splits("xview")
    """

    also_read = (CLIPS, MISSING)

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        raw_folder: str | os.PathLike[str],
        processed_folder: str | os.PathLike[str],
        num_classes: int = 60,
        annotations: str | None = None,
        **kwargs: Any,
    ) -> None:
        if num_classes not in (60, 120):
            raise ValueError(f"'num_classes' must be 60 or 120, got {num_classes}")
        self.classes, self.annotations = num_classes, annotations
        self.benchmarks = ("xsub", "xview") if num_classes == 60 else ("xsub", "xset")
        super().__init__(root, raw_folder=raw_folder, processed_folder=processed_folder, **kwargs)

    @property
    def raw_file_names(self) -> list[str]:
        return [self.annotations] if self.annotations else []

    @property
    def num_classes(self) -> int:
        return self.classes

    def keep(self, store: Any) -> None:
        self.layout = LAYOUTS[store["frames"].size(2)]
        self.graph = SkeletonGraph(self.layout)
        super().keep(store)

    def process(self) -> None:
        clips = self.annotated() if self.annotations else self.raw()
        frames, names, more = [], [], []
        for name, clip, facts in clips:
            if len(clip) and facts["y"] < self.classes:
                frames.append(clip)
                names.append(name)
                more.append(facts)
        if not frames:
            raise DamagedDataError(f"'{self.raw_dir}' holds no clip with a body in it")
        numbers = np.array([NAME.fullmatch(name).groups() for name in names], dtype=np.int64)  # type: ignore[union-attr]
        offsets = np.cumsum([0, *(len(clip) for clip in frames)])
        store = {
            "frames": torch.from_numpy(np.concatenate(frames)),
            "offsets": torch.from_numpy(offsets),
            "name": names,
            **{key: torch.tensor([facts[key] for facts in more]) for key in more[0]},
            **{fact: torch.from_numpy(numbers[:, i]) for i, fact in enumerate(FACTS)},
        }
        torch.save(store, self.processed_paths[0])

    def raw(self) -> Iterator[tuple[str, np.ndarray, dict[str, Any]]]:
        """The clips of the ``.skeleton`` files ``[T, 2, 25, 3]``, by name."""
        folder = Path(self.raw_dir)
        left_out = {name for path in visible(folder.glob(MISSING)) for name in read_missing(path)}
        paths = visible(folder.glob(CLIPS))
        for path in track(paths, "NTU RGB+D …", transient=True, disable=len(paths) < 1000):
            if action_of(path.stem) is None:
                raise DamagedDataError(f"'{path}' is not called like a clip, S…C…P…R…A….skeleton")
            if path.stem not in left_out:
                with reading(path):
                    actors = find_actors(read_skeleton(path))
                yield path.stem, actors, {"y": action_of(path.stem)}

    def annotated(self) -> Iterator[tuple[str, np.ndarray, dict[str, Any]]]:
        """The clips of the pickle ``[T, 2, V, 3]``, by name, and what else it says of them."""
        path = Path(self.raw_dir) / str(self.annotations)
        clips = read_annotations(path)["annotations"]
        sized = all("img_shape" in clip for clip in clips)
        for clip in clips:
            name, points = clip["frame_dir"], clip["keypoint"].astype(np.float32)
            facts: dict[str, Any] = {"y": clip["label"]}
            if sized:
                facts["img_shape"] = [int(side) for side in clip["img_shape"]]
            if action_of(name) is None:
                raise DamagedDataError(f"'{path}' holds {name!r}, which is no clip of NTU RGB+D")
            if points.shape[2] not in LAYOUTS:
                raise DamagedDataError(f"'{path}' holds skeletons of {points.shape[2]} joints")
            if "keypoint_score" in clip:
                score = clip["keypoint_score"].astype(np.float32)
                points = np.concatenate([points, score[..., None]], axis=-1)
            # Places in the image have no depth: what comes third is how sure the detector was.
            if "keypoint_score" in clip or (points.shape[3] == 3 and points.shape[2] in FLAT):
                facts["scored"] = True
            persons = np.zeros((2, *points.shape[1:]), dtype=np.float32)
            persons[: len(points)] = points[:2]
            yield name, persons.swapaxes(0, 1), facts

    def train_mask(self, benchmark: str) -> Tensor:
        if benchmark == "xview":
            return self.info["camera"] > 1
        if benchmark == "xset":
            return self.info["setup"] % 2 == 0
        subjects = SUBJECTS_60 if self.classes == 60 else SUBJECTS_120
        return torch.isin(self.info["subject"], torch.tensor(subjects))


def action_of(name: str) -> int | None:
    """The class that a clip's name says, from 0; nothing if it is no name of a clip."""
    parts = NAME.fullmatch(name)
    return int(parts[5]) - 1 if parts and int(parts[5]) else None


def read_missing(path: Path) -> set[str]:
    """The clips that a list names, with or without ending, folder, commas and a heading."""
    text = read_text(path)
    names = {match[0].upper() for match in re.finditer(NAME.pattern, text, re.IGNORECASE)}
    if text.strip() and not names:
        raise DamagedDataError(f"'{path}' names no clip, such as S001C002P005R002A008")
    return names
