"""UTD-MHAD: 27 actions of eight persons."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from graphkit.datasets.skeletons.base import SkeletonDataset, read_clips
from graphkit.datasets.store.in_place import InPlace

__all__ = ["UTDMHAD"]

FILE = "utd_mhad.npz"
NAMES = (
    "swipe left",
    "swipe right",
    "wave",
    "clap",
    "throw",
    "cross arms",
    "basketball shoot",
    "draw X",
    "draw circle clockwise",
    "draw circle counter clockwise",
    "draw triangle",
    "bowling",
    "boxing",
    "baseball swing",
    "tennis swing",
    "arm curl",
    "tennis serve",
    "push",
    "knock",
    "catch",
    "pick up and throw",
    "jog",
    "walk",
    "sit to stand",
    "stand to sit",
    "lunge",
    "squat",
)


class UTDMHAD(InPlace, SkeletonDataset):
    r"""The Kinect skeletons of the `"UTD-MHAD: A Multimodal Dataset for Human Action Recognition
    Utilizing a Depth Camera and a Wearable Inertial Sensor"
    <https://doi.org/10.1109/ICIP.2015.7350781>`_ paper: 861 clips of 27 actions, 20 joints.

    .. math::
        \text{train} = \{i : \text{subject}_i \text{ odd}\}, \quad
        \text{test} = \{i : \text{subject}_i \text{ even}\}

    Args:
        root (str): Folder of the data set.
        raw_folder (str or Path): Folder of :obj:`utd_mhad.npz`, with :obj:`joints`
            ``[frames, 20, 3]``, :obj:`offsets`, :obj:`action`, :obj:`subject` and :obj:`trial`.
        processed_folder (str or Path): Folder of the processed file.
        transform (callable, optional): Applied at every access. (default: :obj:`None`)

    Shapes:
        - **output:** per clip :obj:`x` :math:`(20, 3, T)` in metres, :math:`41 \le T \le 125`,
          :obj:`y`, :obj:`subject` and :obj:`trial` :math:`(1)`

    Raises:
        DamagedDataError: If the file cannot be read or its arrays do not fit.

    Example:
        .. code-block:: python

            from graphkit.datasets import load

            train, test = load("UTD-MHAD").splits()
    """

    also_read = ()
    layout = "utd-mhad-20"
    benchmarks = ("xsub",)
    class_names = NAMES

    @property
    def raw_file_names(self) -> str:
        return FILE

    @property
    def num_classes(self) -> int:
        return len(NAMES)

    def process(self) -> None:
        actions = range(1, len(NAMES) + 1)
        clips = read_clips(Path(self.raw_dir) / FILE, ("subject", "trial"), list(actions))
        torch.save(clips, self.processed_paths[0])

    def train_mask(self, benchmark: str) -> Tensor:
        return self.info["subject"] % 2 == 1
