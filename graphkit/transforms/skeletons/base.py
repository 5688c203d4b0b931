"""What the transforms of skeleton clips share."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from graphkit.data.skeleton_graph import SkeletonGraph

__all__ = ["SkeletonTransform"]


class SkeletonTransform(BaseTransform):
    r"""A transform of clips, on graphs and on dense batches alike.

    .. math::
        \mathbf{x} \in \mathbb{R}^{M V \times C \times T} \leftrightarrow
        \mathbf{X} \in \mathbb{R}^{B \times C \times T \times V \times M}

    Subclasses write :meth:`dense`; graphs become batches of one clip. Random transforms draw
    one number per clip of a batch, from torch's generator or one of their own.

    Args:
        skeleton (SkeletonGraph or int, optional): The skeleton, or the joints of a person; for
            transforms that treat all joints alike there is no need to say.
            (default: :obj:`None`)

    Shapes:
        - **input, output:** :obj:`x` :math:`(M V, C, T)` of a
          :class:`~torch_geometric.data.Data`; the number of frames may change

    Raises:
        ValueError: If :obj:`x` does not have as many nodes per person as the skeleton has joints,
            :obj:`edge_index` lacks its bones (five persons of 20 joints are no four of 25), or the
            last channel is a score and the transform was not told so.
    """

    score: bool | None = None
    """Whether the last channel is a score; nothing where it does not matter."""

    def __init__(self, skeleton: SkeletonGraph | int | None = None) -> None:
        self.skeleton: SkeletonGraph | None = None
        self.num_joints: int | None = None
        if isinstance(skeleton, SkeletonGraph):
            self.skeleton, self.num_joints = skeleton, skeleton.num_joints
        else:
            self.num_joints = skeleton

    @abstractmethod
    def dense(self, x: Tensor) -> Tensor:
        """Transforms a batch of clips ``[B, C, T, V, M]``."""

    def forward(self, data: Any) -> Any:
        """Transforms the clip in a :class:`~torch_geometric.data.Data`."""
        if not isinstance(data, Data):
            return data
        x = data.x
        joints = "joints" if self.num_joints is None else self.num_joints
        if x is None or x.dim() != 3 or x.size(0) == 0 or x.size(0) % (self.num_joints or 1):
            shape = None if x is None else list(x.shape)
            raise ValueError(
                f"'data.x' must be [persons * {joints}, channels, frames], got {shape}"
            )
        if self.score is False and bool(torch.as_tensor(data.get("scored", False)).any()):
            raise ValueError(
                f"the last channel of 'data.x' is a score, no coordinate: use "
                f"{type(self).__name__}(…, score=True)"
            )
        if self.skeleton is not None and data.edge_index is not None:
            check_bones(data.edge_index, self.skeleton, x.size(0))
        # Without a skeleton all joints are treated alike, as if they were of one person.
        clip = x.unflatten(0, (-1, self.num_joints or x.size(0))).permute(2, 3, 1, 0)
        out = self.dense(clip.unsqueeze(0)).squeeze(0)
        data.x = out.permute(3, 2, 0, 1).flatten(0, 1).contiguous()
        return data

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def check_clips(x: Tensor, num_joints: int | None) -> None:
    """Raises unless this is a batch of clips, of that many joints if it is said."""
    if x.dim() != 5 or x.size(3) != (num_joints or x.size(3)):
        joints = num_joints or "joints"
        raise ValueError(
            f"'x' must be [clips, channels, frames, {joints}, persons], got {list(x.shape)}"
        )


def check_bones(edge_index: Tensor, skeleton: SkeletonGraph, num_nodes: int) -> None:
    """Raises unless every bone of every person is an edge; there may be others."""
    edges = skeleton.edge_index.to(edge_index.device)
    persons = torch.arange(0, num_nodes, skeleton.num_joints, device=edge_index.device)
    source, target = (edges.unsqueeze(2) + persons).flatten(1)
    bones, there = source * num_nodes + target, edge_index[0] * num_nodes + edge_index[1]
    missing = int((~torch.isin(bones, there)).sum())
    if missing:
        raise ValueError(
            f"'data' has not the bones of the layout {skeleton.layout!r} with "
            f"{skeleton.num_joints} joints: {missing} of {bones.numel()} are no edges; give the "
            "transform the skeleton of the data, such as layout=dataset.graph"
        )
