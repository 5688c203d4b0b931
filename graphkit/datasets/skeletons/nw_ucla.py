"""Northwestern-UCLA: ten actions, three cameras."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from graphkit.datasets.skeletons.base import SkeletonDataset, read_clips
from graphkit.datasets.store.in_place import InPlace

__all__ = ["NWUCLA"]

FILE = "nw_ucla.npz"
ACTIONS = {
    1: "pick up with one hand",
    2: "pick up with two hands",
    3: "drop trash",
    4: "walk around",
    5: "sit down",
    6: "stand up",
    8: "donning",
    9: "doffing",
    11: "throw",
    12: "carry",
}


class NWUCLA(InPlace, SkeletonDataset):
    r"""The Multiview Action3D set of the `"Cross-view Action Modeling, Learning and Recognition"
    <https://arxiv.org/abs/1405.2941>`_ paper: 1,484 clips of ten actions by ten persons, seen by
    three Kinects at once, 20 joints.

    .. math::
        \text{train} = \{i : \text{view}_i \in \{1, 2\}\}, \quad
        \text{test} = \{i : \text{view}_i = 3\}

    Args:
        root (str): Folder of the data set.
        raw_folder (str or Path): Folder of :obj:`nw_ucla.npz`, with :obj:`joints`
            ``[frames, 20, 3]``, :obj:`offsets`, :obj:`action`, :obj:`subject`, :obj:`view` and
            :obj:`name`.
        processed_folder (str or Path): Folder of the processed file.
        transform (callable, optional): Applied at every access. (default: :obj:`None`)

    Shapes:
        - **output:** per clip :obj:`x` :math:`(20, 3, T)` in metres, :math:`1 \le T \le 201`,
          :obj:`y`, :obj:`subject` and :obj:`view` :math:`(1)`

    Raises:
        DamagedDataError: If the file cannot be read or its arrays do not fit.

    Example:
        .. code-block:: python

            from graphkit.datasets import load

            train, test = load("NW-UCLA").splits()
    """

    also_read = ()
    layout = "kinect-20"
    benchmarks = ("xview",)
    class_names = tuple(ACTIONS.values())

    @property
    def raw_file_names(self) -> str:
        return FILE

    @property
    def num_classes(self) -> int:
        return len(ACTIONS)

    def process(self) -> None:
        clips = read_clips(Path(self.raw_dir) / FILE, ("subject", "view"), list(ACTIONS))
        torch.save(clips, self.processed_paths[0])

    def train_mask(self, benchmark: str) -> Tensor:
        return self.info["view"] < 3
