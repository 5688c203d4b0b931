"""Temporal action annotations of THUMOS14; no video and no features."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphkit.datasets.store.dataset_card import DatasetCard
from graphkit.datasets.store.loading import locate
from graphkit.guard import DamagedDataError, reading
from graphkit.json_values import number, shown
from graphkit.text_files import read_json

__all__ = ["ActionVideo", "thumos14"]

CARD = DatasetCard(
    name="THUMOS14",
    about="when which action happens in 412 untrimmed videos; annotations alone",
    loader="graphkit.datasets.media.thumos14:thumos14",
    folder="THUMOS14",
    files=("mmtad/thumos14_val.json", "mmtad/thumos14_test.json"),
    raw="",
    source="the THUMOS14 annotations of https://github.com/makecent/mmtad, into 'mmtad/'",
)
ACTIONS = (
    "BaseballPitch",
    "BasketballDunk",
    "Billiards",
    "CleanAndJerk",
    "CliffDiving",
    "CricketBowling",
    "CricketShot",
    "Diving",
    "FrisbeeCatch",
    "GolfSwing",
    "HammerThrow",
    "HighJump",
    "JavelinThrow",
    "LongJump",
    "PoleVault",
    "Shotput",
    "SoccerPenalty",
    "TennisSwing",
    "ThrowDiscus",
    "VolleyballSpiking",
)
UNSURE = "Ambiguous"


@dataclass(frozen=True)
class ActionVideo:
    """A video's actions.

    Args:
        name (str): Name of the video.
        segments (torch.Tensor): Start and end of each action in seconds, by start, ``[K, 2]``.
        action (torch.Tensor): Number of each action in alphabetical order, ``[K]``.
        duration (float): Length of the video in seconds.
    """

    name: str
    segments: Tensor
    action: Tensor
    duration: float


def thumos14(
    split: str = "val", root: str | os.PathLike[str] | None = None, beyond: str = "keep"
) -> list[ActionVideo]:
    r"""The annotated actions of `"The THUMOS Challenge on Action Recognition for Videos 'in the
    Wild'" <https://arxiv.org/abs/1604.06182>`_.

    30 of the published segments, 4 of ``"val"`` and 26 of ``"test"``, lie behind the end of their
    video, by up to nine minutes. They are kept as published, since results are compared with them,
    or cut off at its end: none of the 30 is left then.

    Args:
        split (str, optional): ``"val"``, what methods are trained on, or ``"test"``.
            (default: ``"val"``)
        root (str or Path, optional): Folder of the data sets.
            (default: ``GRAPHKIT_DATA``, else ``data`` in the cache folder)
        beyond (str, optional): ``"keep"`` or ``"clip"`` what ends after its video.
            (default: ``"keep"``)

    Raises:
        MissingDataError: If files are missing; the message names them and where to get them.
        DamagedDataError: If the file is not what was published.
        ValueError: If there is no such split or option.

    Example:
        .. code-block:: python

            from graphkit.datasets import thumos14

            videos = thumos14("test")
    """
    if split not in ("val", "test"):
        raise ValueError(f"'split' must be 'val' or 'test', got {split!r}")
    if beyond not in ("keep", "clip"):
        raise ValueError(f"'beyond' must be 'keep' or 'clip', got {beyond!r}")
    path = locate(CARD, root, fetch=False) / "mmtad" / f"thumos14_{split}.json"
    table = read_json(path)
    if not isinstance(table, dict) or not table:
        raise DamagedDataError(f"'{path}' holds no dictionary of videos")
    videos = []
    for name, entry in sorted(table.items()):
        with reading(path, f"video '{name}'"):
            videos.append(video(name, entry, beyond == "clip"))
    return videos


def video(name: str, entry: dict, clip: bool = False) -> ActionVideo:
    """One video; ambiguous segments and those of no length are left out."""
    duration = number(entry["duration"], "the duration")
    if duration <= 0:
        raise ValueError(f"the duration is {duration}")
    if len(entry["segments"]) != len(entry["labels"]):
        raise ValueError(
            f"{name} has {len(entry['segments'])} segments and {len(entry['labels'])} labels"
        )
    pairs = zip(entry["segments"], entry["labels"], strict=True)
    sure = [(times_of(segment), number_of(label)) for segment, label in pairs if label != UNSURE]
    times = [segment for segment, _ in sure]
    segments = torch.tensor(times, dtype=torch.float).reshape(len(sure), 2)
    segments = segments.clamp(max=duration) if clip else segments
    action = torch.tensor([number for _, number in sure], dtype=torch.long)
    order = segments[:, 0].argsort(stable=True)
    order = order[segments[order, 1] > segments[order, 0]]
    return ActionVideo(name, segments[order], action[order], duration)


def times_of(segment: Any) -> list[float]:
    """Start and end of a segment."""
    if not isinstance(segment, list) or len(segment) != 2:
        raise ValueError(f"a segment is {shown(segment)}, expected its start and its end")
    start, end = (number(time, "a time") for time in segment)
    if not 0 <= start <= end:
        raise ValueError(f"a segment goes from {start} to {end}")
    return [start, end]


def number_of(label: Any) -> int:
    """The number of an action."""
    if label not in ACTIONS:
        raise ValueError(f"no action is called {shown(label)}")
    return ACTIONS.index(label)
