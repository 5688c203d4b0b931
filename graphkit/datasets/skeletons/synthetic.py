"""Skeletons whose motions are known."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.data.skeleton_graph import SkeletonGraph
from graphkit.datasets.skeletons.base import SkeletonDataset

__all__ = ["SyntheticSkeletons"]

LIMBS = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
SPEEDS = (1.0, 2.0)
BONE = 0.25
ROOTS = (-0.8, 0.8, -0.4, 0.4)
DOWN = (-0.3, 0.3, -0.1, 0.1)


class SyntheticSkeletons(SkeletonDataset):
    r"""Bodies that swing one limb, from a seeded generator: the smallest stand-in for NTU RGB+D
    (`"NTU RGB+D: A Large Scale Dataset for 3D Human Activity Analysis"
    <https://arxiv.org/abs/1604.02808>`_), with classes that are known by construction.

    .. math::
        \mathbf{x}_v(t) = \mathbf{R}_i \left( \mathbf{x}_{p(v)}(t) + \mathbf{U}\big(
        \alpha \sin(2 \pi f t / T + \phi)\, [v \in \text{limb}] \big)\, \mathbf{b}_v \right)
        + \boldsymbol{\epsilon}

    Class :math:`4 s + l` swings limb :math:`l` (arms, then legs) :math:`f = 1` or :math:`2`
    times, for :math:`s = 0, 1`. Each clip has its own length, phase, amplitude, size, place and
    direction :math:`\mathbf{R}_i` around the vertical axis. Nothing is written to disk; cost
    grows linearly with the number of frames.

    Args:
        num_clips (int, optional): Number of clips; classes take turns. (default: :obj:`400`)
        num_frames (tuple, optional): Least and most frames of a clip. (default: ``(40, 60)``)
        num_person (int, optional): Persons of a clip, all doing the same.
            (default: :obj:`1`)
        noise (float, optional): Standard deviation of a joint's place, in metres.
            (default: :obj:`0.01`)
        layout (str or SkeletonGraph, optional): A layout of :class:`graphkit.nn.SkeletonGraph`
            with shoulders and hips. (default: :obj:`"ntu-25"`)
        seed (int, optional): Seed of the generator. (default: :obj:`0`)
        transform (callable, optional): Applied at every access. (default: :obj:`None`)

    Shapes:
        - **output:** per clip :obj:`x` :math:`(M V, 3, T)` in metres, :obj:`y` and
          :obj:`subject` :math:`(1)`; odd subjects train

    Raises:
        ValueError: If a number is out of range or the layout lacks a limb.

    Example:
        >>> from graphkit.datasets import SyntheticSkeletons
        >>> dataset = SyntheticSkeletons(num_clips=16, layout="kinect-20")
        >>> dataset[3].y.item(), dataset.num_classes, dataset[0].x.shape[:2]
        (3, 8, torch.Size([20, 3]))
    """

    class_names = tuple(f"{limb}, {speed:g}x" for speed in SPEEDS for limb in LIMBS)

    def __init__(
        self,
        num_clips: int = 400,
        num_frames: tuple[int, int] = (40, 60),
        num_person: int = 1,
        noise: float = 0.01,
        layout: str | SkeletonGraph = "ntu-25",
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        least, most = num_frames
        if num_clips < 1 or num_person < 1 or noise < 0:
            raise ValueError(
                "'num_clips' and 'num_person' must be at least 1 and 'noise' not negative, got "
                f"{num_clips}, {num_person} and {noise}"
            )
        if not 1 <= least <= most:
            raise ValueError(f"'num_frames' must be (least, most) from 1, got {num_frames}")
        super().__init__(transform=transform, graph=layout)
        missing = [limb for limb in LIMBS if limb not in self.graph.joints]
        if missing:
            raise ValueError(f"'layout' {layout!r} has no {missing[0]}")
        generator = torch.Generator().manual_seed(seed)
        lengths = torch.randint(least, most + 1, (num_clips,), generator=generator)
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        label = torch.arange(num_clips) % self.num_classes
        frames = swing(self.graph, label, lengths, num_person, noise, generator)
        subject = torch.arange(num_clips) // self.num_classes % 4
        subject = torch.where(subject == 3, 2, 2 * subject + 1)
        names = [f"clip-{i}" for i in range(num_clips)]
        self.keep(
            {"frames": frames, "offsets": offsets, "y": label, "name": names, "subject": subject}
        )

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def train_mask(self, benchmark: str) -> Tensor:
        return self.info["subject"] % 2 == 1


def swing(
    graph: SkeletonGraph,
    label: Tensor,
    lengths: Tensor,
    persons: int,
    noise: float,
    generator: torch.Generator,
) -> Tensor:
    """The frames of all clips ``[F, M, V, 3]``."""
    clips = label.numel()

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator)

    clip = torch.repeat_interleave(torch.arange(clips), lengths)
    time = torch.arange(len(clip)) - (lengths.cumsum(0) - lengths)[clip]
    speed = torch.tensor(SPEEDS)[label // len(LIMBS)]
    phase, reach = uniform(0, 2 * math.pi, clips, persons), uniform(0.7, 1.1, clips, persons)
    cycle = 2 * math.pi * speed[clip] * time / lengths[clip]
    angle = reach[clip] * torch.sin(cycle.view(-1, 1) + phase[clip])
    moved, bones = limbs(graph)
    angle = angle.unsqueeze(-1) * moved[(label % len(LIMBS))[clip]].unsqueeze(1)
    turned = torch.stack([angle.cos() * bones[:, 1], angle.sin() * bones[:, 1]], dim=-1)
    local = torch.cat([bones[:, 0].expand_as(angle).unsqueeze(-1), turned], dim=-1)
    places = local * uniform(0.9, 1.1, clips, persons)[clip].view(-1, persons, 1, 1)
    places = torch.einsum("uv,fmuc->fmvc", ancestors(graph), places)
    facing = uniform(0, 2 * math.pi, clips)[clip].view(-1, 1, 1)
    across, depth = places[..., 0], places[..., 2]
    rotated = torch.stack(
        [
            facing.cos() * across + facing.sin() * depth,
            places[..., 1],
            facing.cos() * depth - facing.sin() * across,
        ],
        dim=-1,
    )
    home = uniform(-1, 1, clips, persons, 1, 3) + torch.tensor([0.0, 0.0, 3.0])
    shaken = torch.randn(rotated.shape, generator=generator) * noise
    return rotated + home[clip] + shaken


def ancestors(graph: SkeletonGraph) -> Tensor:
    """Which joints ``u`` lie on the way from the middle of the body to ``v``, ``[u, v]``."""
    up = torch.eye(graph.num_joints)[graph.parents].t()
    up[graph.center, graph.center] = 0.0
    total = reach = torch.eye(graph.num_joints)
    while bool(reach.any()):
        reach = up @ reach
        total = total + reach
    return total


def limbs(graph: SkeletonGraph) -> tuple[Tensor, Tensor]:
    """Per limb the joints that move, ``[4, V]``, and every joint's bone at rest, ``[V, 3]``."""
    below = ancestors(graph)
    roots = [graph.joints.index(limb) for limb in LIMBS]
    moved = below[roots].clone()
    moved[range(len(LIMBS)), roots] = 0.0
    bones = torch.tensor([0.0, BONE, 0.0]).repeat(graph.num_joints, 1)
    spine = below[:, roots[2:]].sum(1) > 1
    bones[spine, 1] = -BONE
    for root, side, down in zip(roots, ROOTS, DOWN, strict=True):
        bones[below[root] > 0] = BONE * torch.tensor([down, -1.0, 0.0])
        bones[root] = BONE * torch.tensor([side, 0.0, 0.0])
    bones[graph.center] = 0.0
    return moved, bones
