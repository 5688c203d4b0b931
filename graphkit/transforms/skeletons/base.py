"""What the transforms of skeleton clips share."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

__all__ = ["SkeletonTransform"]


class SkeletonTransform(BaseTransform):
    r"""A transform of clips, on graphs and on dense batches alike.

    .. math::
        \mathbf{x} \in \mathbb{R}^{M V \times C \times T} \leftrightarrow
        \mathbf{X} \in \mathbb{R}^{B \times C \times T \times V \times M}

    Subclasses write :meth:`dense`; graphs become batches of one clip. Random transforms draw
    one number per clip of a batch, from torch's generator or one of their own.

    Args:
        num_joints (int): Joints of a person.

    Shapes:
        - **input, output:** :obj:`x` :math:`(M V, C, T)` of a
          :class:`~torch_geometric.data.Data`; the number of frames may change

    Raises:
        ValueError: If :obj:`x` does not have :obj:`num_joints` nodes per person, or its last
            channel is a score and the transform was not told so.
    """

    score: bool | None = None
    """Whether the last channel is a score; nothing where it does not matter."""

    def __init__(self, num_joints: int) -> None:
        self.num_joints = num_joints

    @abstractmethod
    def dense(self, x: Tensor) -> Tensor:
        """Transforms a batch of clips ``[B, C, T, V, M]``."""

    def forward(self, data: Any) -> Any:
        """Transforms the clip in a :class:`~torch_geometric.data.Data`."""
        if not isinstance(data, Data):
            return data
        x = data.x
        if x is None or x.dim() != 3 or x.size(0) == 0 or x.size(0) % self.num_joints:
            shape = None if x is None else list(x.shape)
            raise ValueError(
                f"'data.x' must be [persons * {self.num_joints}, channels, frames], got {shape}"
            )
        if self.score is False and bool(torch.as_tensor(data.get("scored", False)).any()):
            raise ValueError(
                f"the last channel of 'data.x' is a score, no coordinate: use "
                f"{type(self).__name__}(…, score=True)"
            )
        clip = x.unflatten(0, (-1, self.num_joints)).permute(2, 3, 1, 0)
        out = self.dense(clip.unsqueeze(0)).squeeze(0)
        data.x = out.permute(3, 2, 0, 1).flatten(0, 1).contiguous()
        return data

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def check_clips(x: Tensor, num_joints: int) -> None:
    """Raises unless this is a batch of clips of that many joints."""
    if x.dim() != 5 or x.size(3) != num_joints:
        raise ValueError(
            f"'x' must be [clips, channels, frames, {num_joints}, persons], got {list(x.shape)}"
        )
