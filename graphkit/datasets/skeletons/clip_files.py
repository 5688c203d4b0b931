"""Skeleton clips from a folder with a file per clip, in the formats they are published in."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from graphkit.datasets.skeletons.base import SkeletonDataset
from graphkit.datasets.skeletons.nw_ucla import ACTIONS
from graphkit.datasets.store.errors import MissingDataError
from graphkit.datasets.store.folders import visible
from graphkit.datasets.store.reading.matlab import read_matlab
from graphkit.guard import DamagedDataError, reading
from graphkit.json_values import number, whole
from graphkit.text_files import read_json

__all__ = ["SkeletonFiles"]

LONGEST = 100_000
"""Frames of a clip; an hour of video at 25 frames a second is less."""
PERSONS = 5
"""ST-GCN looks at the first so many persons of a frame."""
CLASSES = 400
"""Of Kinetics."""


class Clip(NamedTuple):
    """One clip: joints ``[T, M, V, C]``, class, and facts by name."""

    joints: np.ndarray
    action: int
    facts: dict[str, int]


class Format(NamedTuple):
    """How a kind of file is called and read, and what its skeletons are.

    ``beside`` are names of files that were published with the clips and hold none.
    """

    pattern: str
    name: re.Pattern[str]
    example: str
    layout: str
    classes: int
    benchmark: str
    read: Callable[[Path], Clip]
    beside: tuple[str, ...] = ()


class SkeletonFiles(SkeletonDataset):
    r"""Clips from a folder of published files, one per clip, kept in memory.

    * ``"utd-mhad"``: ``a1_s1_t1_skeleton.mat`` of the `"UTD-MHAD: A Multimodal Dataset for Human
      Action Recognition" <https://doi.org/10.1109/ICIP.2015.7350781>`_ paper; odd subjects train;
    * ``"nw-ucla"``: ``a01_s01_e00_v01.json`` of the `"Cross-view Action Modeling, Learning and
      Recognition" <https://arxiv.org/abs/1405.2941>`_ paper's skeletons as CTR-GCN gives them;
      views 1 and 2 train;
    * ``"kinetics"``: the ``.json`` of Kinetics-skeleton of the `"Spatial Temporal Graph
      Convolutional Networks" <https://arxiv.org/abs/1801.07455>`_ paper: OpenPose's 18 joints of
      the two surest persons of each frame, places in :math:`[-0.5, 0.5]` and a score; joints of
      score 0 are at zero. Its parts are folders of their own: there is no split. Clips in which
      nobody is seen are left out, as ST-GCN leaves them out.

    Args:
        folder (str or Path): The files; hidden ones, and those beside the clips that are called
            otherwise, such as UTD-MHAD's inertial and depth files, are passed over.
        kind (str): See above.
        transform (callable, optional): Applied at every access. (default: :obj:`None`)

    Shapes:
        - **output:** per clip :obj:`x` :math:`(M V, 3, T)`, :obj:`y` and its facts :math:`(1)`

    Raises:
        MissingDataError: If the folder has no such file.
        DamagedDataError: If a file is wrong, all are called otherwise, or nobody is seen in any;
            the message names the file and the place in it.
        ValueError: If there is no such kind.

    Example:
        .. code-block:: python

            from graphkit.datasets import SkeletonFiles

            train, test = SkeletonFiles("UTD-MHAD/Skeleton", "utd-mhad").splits()
    """

    def __init__(self, folder: str | os.PathLike[str], kind: str, transform: Any = None) -> None:
        if kind not in FORMATS:
            raise ValueError(f"'kind' must be one of {tuple(FORMATS)}, got {kind!r}")
        form = FORMATS[kind]
        self.layout, self.classes = form.layout, form.classes
        self.benchmarks = (form.benchmark,) if form.benchmark else ()
        super().__init__(transform=transform)
        clips, names = [], []
        paths = files_of(Path(folder).expanduser(), kind)
        for path in track(paths, f"{kind} …", transient=True, disable=len(paths) < 1000):
            with reading(path):
                clip = form.read(path)
            if len(clip.joints):
                clips.append(clip)
                names.append(path.stem)
        if not clips:
            raise DamagedDataError(
                f"'{paths[0]}' holds no frame with a person, and no other file does"
            )
        self.keep(joined(clips, names))

    @property
    def num_classes(self) -> int:
        return self.classes

    def split_index(self, benchmark: str | None = None) -> dict[str, Tensor]:
        if not self.benchmarks:
            raise ValueError("these clips have no split; each part is a folder of its own")
        return super().split_index(benchmark)

    def train_mask(self, benchmark: str) -> Tensor:
        if benchmark == "xview":
            return self.info["view"] < 3
        return self.info["subject"] % 2 == 1


def files_of(folder: Path, kind: str) -> list[Path]:
    """The files of clips in a folder, without what lies beside them."""
    form = FORMATS[kind]
    paths = [path for path in visible(folder.glob(form.pattern)) if path.name not in form.beside]
    if not paths:
        raise MissingDataError(f"'{folder}' holds no file '{form.pattern}' of {kind}")
    named = [path for path in paths if form.name.fullmatch(path.name)]
    if not named:
        raise DamagedDataError(f"cannot read '{paths[0]}': its name is not like {form.example}")
    return named


def joined(clips: list[Clip], names: list[str]) -> dict[str, Any]:
    """Clips behind one another; persons who are not there are zero."""
    persons = max(clip.joints.shape[1] for clip in clips)
    frames = np.zeros(
        (sum(len(clip.joints) for clip in clips), persons, *clips[0].joints.shape[2:]), np.float32
    )
    offsets = np.cumsum([0, *(len(clip.joints) for clip in clips)])
    for clip, start, stop in zip(clips, offsets[:-1], offsets[1:], strict=True):
        frames[start:stop, : clip.joints.shape[1]] = clip.joints
    return {
        "frames": torch.from_numpy(frames),
        "offsets": torch.from_numpy(offsets),
        "y": torch.tensor([clip.action for clip in clips]),
        "name": names,
        **{fact: torch.tensor([clip.facts[fact] for clip in clips]) for fact in clips[0].facts},
    }


def numbers_in(path: Path, kind: str) -> list[int]:
    """The numbers in a file's name."""
    match = FORMATS[kind].name.fullmatch(path.name)
    assert match is not None
    return [int(part) for part in match.groups()]


def read_utd_mhad(path: Path) -> Clip:
    """A clip of UTD-MHAD."""
    action, subject, trial = numbers_in(path, "utd-mhad")
    if not 1 <= action <= 27:
        raise ValueError(f"action {action} is none of the 27")
    joints = read_matlab(path, "d_skel")
    right = joints.ndim == 3 and joints.shape[:2] == (20, 3) and 0 < joints.shape[2] <= LONGEST
    if not right or not finite(joints):
        raise ValueError(f"its 'd_skel' is {joints.shape}, expected [20, 3, T] of finite numbers")
    return Clip(
        joints.transpose(2, 0, 1)[:, None], action - 1, {"subject": subject, "trial": trial}
    )


def read_nw_ucla(path: Path) -> Clip:
    """A clip of NW-UCLA."""
    action, subject, _, view = numbers_in(path, "nw-ucla")
    if action not in ACTIONS:
        raise ValueError(f"action {action} is none of {tuple(ACTIONS)}")
    content = read_json(path)
    skeletons = content.get("skeletons") if isinstance(content, dict) else None
    if not isinstance(skeletons, list) or not 0 < len(skeletons) <= LONGEST:
        raise ValueError("it holds no list 'skeletons' of frames")
    frames = [table(frame, f"frame {place}", 20, 3) for place, frame in enumerate(skeletons)]
    return Clip(
        np.array(frames)[:, None],
        list(ACTIONS).index(action),
        {"subject": subject, "view": view},
    )


def read_kinetics(path: Path) -> Clip:
    """A clip of Kinetics-skeleton, as ST-GCN's code reads it; of no length if nobody is seen."""
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("data"), list):
        raise ValueError("it holds no list 'data' of frames")
    label = whole(content.get("label_index"), "'label_index'")
    if not 0 <= label < CLASSES:
        raise ValueError(f"'label_index' is {label}, expected 0 to {CLASSES - 1}")
    frames: dict[int, np.ndarray] = {}
    for place, entry in enumerate(content["data"]):
        frame, persons = one_frame(entry, f"frame {place}")
        if frame in frames:
            raise ValueError(f"frame {place} has the 'frame_index' {frame} of another")
        frames[frame] = persons
    first, last = min(frames, default=0), max(frames, default=0)
    if last - first >= LONGEST:
        raise ValueError(f"its frames go from {first} to {last}")
    if not any(len(persons) for persons in frames.values()):
        return Clip(np.zeros((0, 2, 18, 3)), label, {"scored": 1})
    joints = np.zeros((last - first + 1, 2, 18, 3))
    for frame, persons in frames.items():
        joints[frame - first, : len(persons)] = persons
    return Clip(joints, label, {"scored": 1})


def one_frame(entry: Any, where: str) -> tuple[int, np.ndarray]:
    """The number of a frame and its two surest persons ``[M, 18, 3]``."""
    if not isinstance(entry, dict) or not isinstance(entry.get("skeleton"), list):
        raise ValueError(f"{where} has no list 'skeleton'")
    persons = []
    for skeleton in entry["skeleton"][:PERSONS]:
        if not isinstance(skeleton, dict):
            raise ValueError(f"{where} has a person who is no dictionary")
        place = row(skeleton.get("pose"), f"'pose' in {where}", 36).reshape(18, 2) - 0.5
        score = row(skeleton.get("score"), f"'score' in {where}", 18)
        place[score == 0] = 0
        persons.append(np.concatenate([place, score[:, None]], 1))
    # The surest first; of equal ones the first.
    persons.sort(key=lambda person: -person[:, 2].sum())
    number_of_frame = whole(entry.get("frame_index"), f"'frame_index' of {where}")
    return number_of_frame, np.array(persons[:2]).reshape(-1, 18, 3)


def table(value: Any, where: str, rows: int, columns: int) -> list[np.ndarray]:
    """Lists of numbers of the right lengths."""
    if not isinstance(value, list) or len(value) != rows:
        raise ValueError(f"{where} has no {rows} joints")
    return [row(each, f"a joint of {where}", columns) for each in value]


def row(value: Any, where: str, length: int) -> np.ndarray:
    """A list of numbers of the right length."""
    if not isinstance(value, list) or len(value) != length:
        raise ValueError(f"{where} is no list of {length} numbers")
    numbers = np.array([number(each, where) for each in value])
    if not finite(numbers):
        raise ValueError(f"{where} holds numbers beyond all bounds")
    return numbers


def finite(values: np.ndarray) -> bool:
    """Whether all are numbers that single precision holds."""
    return bool((np.abs(values) < 3e38).all())


FORMATS = {
    "utd-mhad": Format(
        "*.mat",
        re.compile(r"a(\d{1,2})_s(\d{1,2})_t(\d{1,2})_skeleton\.mat"),
        "a1_s1_t1_skeleton.mat",
        "utd-mhad-20",
        27,
        "xsub",
        read_utd_mhad,
    ),
    "nw-ucla": Format(
        "*.json",
        re.compile(r"a(\d{2})_s(\d{2})_e(\d{2})_v(\d{2})\.json"),
        "a01_s01_e00_v01.json",
        "kinect-20",
        len(ACTIONS),
        "xview",
        read_nw_ucla,
    ),
    "kinetics": Format(
        "*.json",
        re.compile(r".*\.json"),
        "---QUuC4vJs.json",
        "openpose-18",
        CLASSES,
        "",
        read_kinetics,
        ("kinetics_train_label.json", "kinetics_val_label.json"),
    ),
}
