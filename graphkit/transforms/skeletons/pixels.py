"""Skeletons in an image, freed of its size."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform

from graphkit.transforms.skeletons.base import SkeletonTransform, check_clips

__all__ = ["PixelNormalize"]


@functional_transform("pixel_normalize")
class PixelNormalize(SkeletonTransform):
    r"""Puts pixels of a video into :math:`[-1, 1]`, as the `"PYSKL: Towards Good Practices for
    Skeleton Action Recognition" <https://arxiv.org/abs/2205.09443>`_ paper's code does.

    .. math::
        x^{\prime} = \frac{x - w/2}{w/2}, \qquad y^{\prime} = \frac{y - h/2}{h/2}

    The size is that of the clip, ``data.img_shape``, where it has one. A third channel is a
    score: joints whose score is at most ``threshold`` go to the middle, and so do persons who are
    nowhere in a frame, all of whose joints are at zero.

    Args:
        img_shape (tuple of int, optional): Height and width where a clip does not say.
            (default: :obj:`(1080, 1920)`)
        num_joints (int, optional): Joints of a person. (default: :obj:`17`)
        threshold (float, optional): Scores that count as none. (default: :obj:`0.01`)

    Shapes:
        - **input, output:** :obj:`x` :math:`(M V, C, T)`, pixels and perhaps a score, with
          ``img_shape`` :math:`(1, 2)`; dense :math:`(B, C, T, V, M)`

    Raises:
        ValueError: If a size is not positive, or channels are not two or three.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> clip = Data(x=torch.full((17, 2, 1), 50.0), img_shape=torch.tensor([[100, 200]]))
        >>> PixelNormalize()(clip).x[0, :, 0].tolist()
        [-0.5, 0.0]
    """

    def __init__(
        self,
        img_shape: tuple[int, int] = (1080, 1920),
        num_joints: int = 17,
        threshold: float = 0.01,
    ) -> None:
        super().__init__(num_joints)
        self.img_shape, self.threshold = torch.tensor(img_shape), threshold
        check_size(self.img_shape)

    def forward(self, data: Any) -> Any:
        own = data.get("img_shape") if isinstance(data, Data) else None
        if own is None:
            return super().forward(data)
        check_size(own)
        fixed, self.img_shape = self.img_shape, torch.as_tensor(own).view(-1)
        try:
            return super().forward(data)
        finally:
            self.img_shape = fixed

    def dense(self, x: Tensor) -> Tensor:
        check_clips(x, self.num_joints)
        if x.size(1) not in (2, 3):
            raise ValueError(f"'x' must have 2 coordinates and perhaps a score, got {x.size(1)}")
        half = self.img_shape.flip(0).to(x).view(1, 2, 1, 1, 1) / 2
        there = (x[:, :2] != 0).any(dim=3, keepdim=True).any(dim=1, keepdim=True)
        placed = (x[:, :2] - half) / half * there
        if x.size(1) == 2:
            return placed
        seen = x[:, 2:] > self.threshold
        return torch.cat([placed * seen, x[:, 2:]], 1)


def check_size(img_shape: Any) -> None:
    """Refuses what is no height and width."""
    size = torch.as_tensor(img_shape)
    if size.numel() != 2 or not bool((size > 0).all()):
        raise ValueError(f"'img_shape' must be a height and a width above 0, got {size.tolist()}")
