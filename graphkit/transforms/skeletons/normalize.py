"""Skeletons that begin at the same place and face the same way."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data.datapipes import functional_transform

from graphkit.data.skeleton_graph import SkeletonGraph
from graphkit.precision import normalize, positive, wide
from graphkit.transforms.skeletons.base import SkeletonTransform, check_clips

__all__ = ["SkeletonNormalize", "turn_onto"]

BOTTOM, TOP = ("spine_base", "hip_center"), ("spine_mid", "spine")
LEFT, RIGHT = ("left_shoulder",), ("right_shoulder",)


@functional_transform("skeleton_normalize")
class SkeletonNormalize(SkeletonTransform):
    r"""Moves and turns clips as the `"Two-Stream Adaptive Graph Convolutional Networks for
    Skeleton-Based Action Recognition" <https://arxiv.org/abs/1805.07694>`_ program does.

    .. math::
        \mathbf{x}^{\prime} = \mathbf{R}_x \mathbf{R}_z (\mathbf{x} - \mathbf{c}), \quad
        \mathbf{R}_z \mathbf{s} \parallel \mathbf{e}_z, \quad
        \mathbf{R}_x \mathbf{R}_z \mathbf{h} \parallel \mathbf{e}_x

    with :math:`\mathbf{c}` the spine, :math:`\mathbf{s}` the direction of the spine and
    :math:`\mathbf{h}` that from the left to the right shoulder, all of the first person in the
    first frame that shows it. Both turns are the shortest ones, so the second may tilt the
    spine again, and directions without length turn nothing. Joints at zero are missing and stay
    there. Published, frames without the first person are also cut out and the persons swapped
    if the second is seen longer; :class:`~graphkit.datasets.NTURGBD` sees to both.

    Args:
        layout (str or SkeletonGraph): A skeleton with spine and shoulders.
            (default: :obj:`"ntu-25"`)
        turn (bool, optional): Whether to turn, too. (default: :obj:`True`)

    Shapes:
        - **input, output:** :obj:`x` :math:`(M V, 3, T)`; dense :math:`(B, 3, T, V, M)`

    Raises:
        ValueError: If the layout has no spine or no shoulders, or coordinates are not three.

    Example:
        >>> from graphkit.datasets import SyntheticSkeletons
        >>> from graphkit.transforms import SkeletonNormalize
        >>> clip = SyntheticSkeletons(8, transform=SkeletonNormalize())[0]
        >>> clip.x[1, :, 0].tolist()
        [0.0, 0.0, 0.0]
    """

    def __init__(self, layout: str | SkeletonGraph = "ntu-25", turn: bool = True) -> None:
        graph = layout if isinstance(layout, SkeletonGraph) else SkeletonGraph(layout)
        super().__init__(graph)
        self.turn = turn
        self.spine = (find(graph, BOTTOM), find(graph, TOP))
        self.shoulders = (find(graph, LEFT), find(graph, RIGHT))

    def dense(self, x: Tensor) -> Tensor:
        check_clips(x, self.num_joints)
        if x.size(1) != 3:
            raise ValueError(f"'x' must have 3 coordinates, got {x.size(1)}")
        there = (x != 0).any(dim=1, keepdim=True)
        first = there[:, 0, :, :, 0].any(dim=2).float().argmax(dim=1)
        start = x[torch.arange(len(x), device=x.device), :, first, :, 0].transpose(1, 2)
        origin, rotation = self.alignment(start)
        moved = x - origin.view(-1, 3, 1, 1, 1)
        return torch.einsum("bdc,bctvm->bdtvm", rotation, moved) * there

    def alignment(self, start: Tensor) -> tuple[Tensor, Tensor]:
        r"""Where clips that start with these bodies have their middle, and how to turn them.

        Shapes:
            - **start:** :math:`(B, V, 3)`
            - **output:** :math:`(B, 3)` and :math:`(B, 3, 3)`
        """
        bottom, top = self.spine
        left, right = self.shoulders
        origin = start[:, top]
        upright, sideways = torch.eye(3, dtype=start.dtype, device=start.device)[[2, 0]]
        rotation = torch.eye(3, dtype=start.dtype, device=start.device).expand(len(start), 3, 3)
        if self.turn:
            rotation = turn_onto(start[:, top] - start[:, bottom], upright)
            across = start[:, right] - start[:, left]
            across = torch.einsum("bdc,bc->bd", rotation, across)
            rotation = turn_onto(across, sideways) @ rotation
        return origin, rotation


def turn_onto(direction: Tensor, axis: Tensor) -> Tensor:
    r"""The shortest turns of some directions onto an axis.

    Args:
        direction (torch.Tensor): Vectors of any length.
        axis (torch.Tensor): A unit vector.

    Shapes:
        - **input:** :math:`(B, 3)` and :math:`(3)`
        - **output:** :math:`(B, 3, 3)`; the identity for zero vectors and for those that point
          along the axis, either way
    """
    # Turns are worked out in float32 at least: float16 cannot hold what is nearly parallel.
    unit, axis = normalize(wide(direction)), wide(axis)
    around = torch.linalg.cross(unit, axis.expand_as(unit))
    one_plus_cosine = ((unit + axis).square().sum(dim=1) / 2).view(-1, 1, 1)
    x, y, z = around.unbind(1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).view(-1, 3, 3)
    eye = torch.eye(3, dtype=unit.dtype, device=unit.device)
    turned = eye + cross + cross @ cross / positive(one_plus_cosine)
    still = around.norm(dim=1) < 1e-6
    return torch.where(still.view(-1, 1, 1), eye, turned).to(direction.dtype)


def find(graph: SkeletonGraph, names: tuple[str, ...]) -> int:
    """The joint with one of these names."""
    for name in names:
        if name in graph.joints:
            return graph.joints.index(name)
    raise ValueError(f"'layout' {graph.layout!r} has no joint called {' or '.join(names)}")
