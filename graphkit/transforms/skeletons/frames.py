"""Clips of one length: frames drawn evenly, or the clip repeated."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch_geometric.data.datapipes import functional_transform

from graphkit.transforms.skeletons.base import SkeletonTransform

__all__ = ["PadByRepetition", "UniformSampleFrames", "repeated_frames", "uniform_frames"]

Variant = Literal["paper", "released"]


def uniform_frames(
    lengths: Tensor,
    num_frames: int,
    random: bool = True,
    variant: Variant = "paper",
    generator: torch.Generator | None = None,
    within: float = 0.5,
) -> Tensor:
    r"""Positions of frames, one in each of as many equal parts of every clip.

    Args:
        lengths (torch.Tensor): Frames of each clip.
        num_frames (int): Frames to draw.
        random (bool, optional): Draw anywhere in a part, or always take the same place of it.
            (default: :obj:`True`)
        variant (str, optional): As in :class:`UniformSampleFrames`.
        generator (torch.Generator, optional): Source of chance.
        within (float, optional): That place, from 0 to 1. (default: :obj:`0.5`, the middle)

    Shapes:
        - **input:** :math:`(B)`
        - **output:** :math:`(B, T)`, ascending, but for repeated short clips as released
    """
    if num_frames < 1 or (lengths < 1).any():
        raise ValueError("'num_frames' and all 'lengths' must be at least 1")
    shape, device = (lengths.numel(), num_frames), lengths.device
    place = torch.full(shape, within, dtype=torch.double, device=device)
    if random:
        place = torch.rand(shape, dtype=torch.double, device=device, generator=generator)
    step = torch.arange(num_frames, device=device)
    frames = lengths.view(-1, 1)
    index = ((step + place) * frames / num_frames).long()
    if variant == "released":
        begin, end = step * frames // num_frames, (step + 1) * frames // num_frames
        index = begin + (place * (end - begin)).long()
        looped = (place[:, :1] * frames * random).long() + step
        index = torch.where(frames < num_frames, looped % frames, index)
        if random:
            skipped = (
                torch.rand((shape[0], num_frames + 1), device=device, generator=generator)
                .argsort(1)
                .argsort(1)
                < frames - num_frames
            )
            walked = step + skipped.long().cumsum(1)[:, :-1]
            between = (frames >= num_frames) & (frames < 2 * num_frames)
            index = torch.where(between, walked, index)
    return index.minimum(frames - 1)


def repeated_frames(lengths: Tensor, num_frames: int) -> Tensor:
    r"""Positions of the first frames of every clip, from the start again where it ends.

    Shapes:
        - **input:** :math:`(B)`
        - **output:** :math:`(B, T)`
    """
    if num_frames < 1 or (lengths < 1).any():
        raise ValueError("'num_frames' and all 'lengths' must be at least 1")
    return torch.arange(num_frames, device=lengths.device) % lengths.view(-1, 1)


@functional_transform("uniform_sample_frames")
class UniformSampleFrames(SkeletonTransform):
    r"""The uniform sampling of the `"Revisiting Skeleton-based Action Recognition"
    <https://arxiv.org/abs/2104.13586>`_ paper: the clip in :math:`T` equal parts, a frame of
    each.

    .. math::
        i_t = \left\lfloor (t + u_t) \frac{L}{T} \right\rfloor, \quad
        u_t \sim \mathcal{U}[0, 1)

    Args:
        num_frames (int): Number of frames :math:`T`.
        num_joints (int, optional): Joints of a person, to check. (default: whatever the data
            has)
        random (bool, optional): Draw anywhere in a part, for training, or take its middle,
            for tests. (default: :obj:`True`)
        variant (str, optional): :obj:`"paper"`, or :obj:`"released"` for PYSKL's program: parts
            of whole frames, clips of less than :math:`T` frames repeated from a random start
            instead of slowed down, those of less than :math:`2 T` thinned at random.
            (default: :obj:`"paper"`)
        generator (torch.Generator, optional): Source of chance. (default: torch's)

    Shapes:
        - **input:** :obj:`x` :math:`(M V, C, L)`; dense :math:`(B, C, L, V, M)`
        - **output:** the same with :math:`T` frames

    Raises:
        ValueError: If :obj:`num_frames` is less than 1 or there is no such variant.

    Example:
        >>> from graphkit.datasets import SyntheticSkeletons
        >>> from graphkit.transforms import UniformSampleFrames
        >>> SyntheticSkeletons(8, transform=UniformSampleFrames(16))[0].x.shape
        torch.Size([25, 3, 16])
    """

    def __init__(
        self,
        num_frames: int,
        num_joints: int | None = None,
        random: bool = True,
        variant: Variant = "paper",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(num_joints)
        if num_frames < 1:
            raise ValueError(f"'num_frames' must be at least 1, got {num_frames}")
        if variant not in ("paper", "released"):
            raise ValueError(f"'variant' must be 'paper' or 'released', got {variant!r}")
        self.num_frames, self.random, self.variant = num_frames, random, variant
        self.generator = generator

    def dense(self, x: Tensor) -> Tensor:
        lengths = torch.full((x.size(0),), x.size(2), device="cpu")
        index = uniform_frames(lengths, self.num_frames, self.random, self.variant, self.generator)
        return take(x, index)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.num_frames}, random={self.random})"


@functional_transform("pad_by_repetition")
class PadByRepetition(SkeletonTransform):
    r"""The padding of the `"Two-Stream Adaptive Graph Convolutional Networks for Skeleton-Based
    Action Recognition" <https://arxiv.org/abs/1805.07694>`_ program: the clip again and again.

    .. math::
        i_t = t \bmod L

    Longer clips are cut.

    Args:
        num_frames (int, optional): Number of frames. (default: :obj:`300`)
        num_joints (int, optional): Joints of a person, to check. (default: whatever the data
            has)

    Shapes:
        - **input:** :obj:`x` :math:`(M V, C, L)`; dense :math:`(B, C, L, V, M)`
        - **output:** the same with :math:`T` frames

    Raises:
        ValueError: If :obj:`num_frames` is less than 1.

    Example:
        >>> from graphkit.datasets import SyntheticSkeletons
        >>> from graphkit.transforms import PadByRepetition
        >>> SyntheticSkeletons(8, transform=PadByRepetition(300))[0].x.shape
        torch.Size([25, 3, 300])
    """

    def __init__(self, num_frames: int = 300, num_joints: int | None = None) -> None:
        super().__init__(num_joints)
        if num_frames < 1:
            raise ValueError(f"'num_frames' must be at least 1, got {num_frames}")
        self.num_frames = num_frames

    def dense(self, x: Tensor) -> Tensor:
        return take(
            x, repeated_frames(torch.full((x.size(0),), x.size(2), device="cpu"), self.num_frames)
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.num_frames})"


def take(x: Tensor, index: Tensor) -> Tensor:
    """Frames ``index [B, T]`` of clips ``[B, C, L, V, M]``."""
    where = index.to(x.device).view(index.size(0), 1, -1, 1, 1)
    shape = (x.size(0), x.size(1), index.size(1), x.size(3), x.size(4))
    return x.gather(2, where.expand(shape))
