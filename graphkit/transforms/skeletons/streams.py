"""Bones and motions: the four streams of a skeleton."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch_geometric.data.datapipes import functional_transform

from graphkit.data.skeleton_graph import SkeletonGraph
from graphkit.transforms.skeletons.base import SkeletonTransform, check_clips

__all__ = ["STREAMS", "SkeletonStream", "bone", "motion"]

Stream = Literal["j", "b", "jm", "bm"]
STREAMS: tuple[Stream, ...] = ("j", "b", "jm", "bm")


def bone(x: Tensor, parents: Tensor, score: bool = False) -> Tensor:
    r"""Every joint less its parent; the middle of the body becomes zero.

    Args:
        x (torch.Tensor): Clips.
        parents (torch.Tensor): Parent of each joint.
        score (bool, optional): Whether the last channel is a detector's score; a bone has the
            mean score of its ends. (default: :obj:`False`)

    Shapes:
        - **input, output:** :math:`(B, C, T, V, M)`, parents :math:`(V)`
    """
    above = x.index_select(3, parents)
    if not score:
        return x - above
    return torch.cat([(x - above)[:, :-1], (x + above)[:, -1:] / 2], dim=1)


def motion(x: Tensor, score: bool = False) -> Tensor:
    r"""The next frame less this one; the last frame is zero.

    Args:
        x (torch.Tensor): Clips.
        score (bool, optional): Whether the last channel is a score; a motion has the mean
            score of its ends. (default: :obj:`False`)

    Shapes:
        - **input, output:** :math:`(B, C, T, V, M)`
    """
    after = torch.cat([x[:, :, 1:], x[:, :, -1:]], dim=2)
    if not score:
        return after - x
    both = torch.cat([(after - x)[:, :-1], (after + x)[:, -1:] / 2], dim=1)
    both[:, -1, -1] = 0.0
    return both


@functional_transform("skeleton_stream")
class SkeletonStream(SkeletonTransform):
    r"""One of the four streams of the `"Skeleton-Based Action Recognition with Multi-Stream
    Adaptive Graph Convolutional Networks" <https://arxiv.org/abs/1912.06971>`_ paper, made on
    the fly.

    .. math::
        \mathbf{b}_v = \mathbf{x}_v - \mathbf{x}_{p(v)}, \qquad
        \dot{\mathbf{x}}_v(t) = \mathbf{x}_v(t + 1) - \mathbf{x}_v(t)

    ``"j"`` is the joints as they are, ``"b"`` the bones, each towards the joint that the layout
    names (``SkeletonGraph.towards``), ``"jm"`` and ``"bm"`` their motions.
    All are linear, so that rotations may come before or after.

    Args:
        stream (str): :obj:`"j"`, :obj:`"b"`, :obj:`"jm"` or :obj:`"bm"`.
        layout (str or SkeletonGraph): The skeleton. (default: :obj:`"ntu-25"`)
        score (bool, optional): Whether the last channel is a detector's score, which is
            averaged instead. Clips that say ``scored`` need it. (default: :obj:`False`)

    Shapes:
        - **input, output:** :obj:`x` :math:`(M V, C, T)`; dense :math:`(B, C, T, V, M)`

    Raises:
        ValueError: If there is no such stream, or the joints are not those of the layout.

    Example:
        >>> from graphkit.datasets import SyntheticSkeletons
        >>> from graphkit.transforms import SkeletonStream
        >>> clip = SyntheticSkeletons(8, transform=SkeletonStream("bm"))[0]
        >>> clip.x.shape[:2], float(clip.x[..., -1].abs().max())
        (torch.Size([25, 3]), 0.0)
    """

    score: bool

    def __init__(
        self, stream: Stream, layout: str | SkeletonGraph = "ntu-25", score: bool = False
    ) -> None:
        if stream not in STREAMS:
            raise ValueError(f"'stream' must be one of {STREAMS}, got {stream!r}")
        graph = layout if isinstance(layout, SkeletonGraph) else SkeletonGraph(layout)
        super().__init__(graph)
        self.stream, self.score, self.towards = stream, score, graph.towards

    def dense(self, x: Tensor) -> Tensor:
        check_clips(x, self.num_joints)
        if self.stream in ("b", "bm"):
            x = bone(x, self.towards.to(x.device), bool(self.score))
        return motion(x, bool(self.score)) if self.stream in ("jm", "bm") else x

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.stream!r})"
