"""Skeletons seen from somewhere else."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data.datapipes import functional_transform

from graphkit.transforms.skeletons.base import SkeletonTransform

__all__ = ["RandomSkeletonRotation", "rotations"]


def rotations(angles: Tensor) -> Tensor:
    r"""Rotations by angles around x, then y, then z.

    Shapes:
        - **angles:** :math:`(B, 3)`, radians
        - **output:** :math:`(B, 3, 3)`
    """
    cosine, sine = angles.cos(), angles.sin()
    turned = torch.eye(3, dtype=angles.dtype, device=angles.device).expand(len(angles), 3, 3)
    for axis, (first, second) in enumerate(((1, 2), (2, 0), (0, 1))):
        step = torch.eye(3, dtype=angles.dtype, device=angles.device).repeat(len(angles), 1, 1)
        step[:, first, first] = step[:, second, second] = cosine[:, axis]
        step[:, second, first], step[:, first, second] = sine[:, axis], -sine[:, axis]
        turned = step @ turned
    return turned


@functional_transform("random_skeleton_rotation")
class RandomSkeletonRotation(SkeletonTransform):
    r"""Turns each clip by random angles, as in the `"PYSKL: Towards Good Practices for Skeleton
    Action Recognition" <https://arxiv.org/abs/2205.09443>`_ paper.

    .. math::
        \mathbf{x}^{\prime} = \mathbf{R}_z(\theta_z) \mathbf{R}_y(\theta_y)
        \mathbf{R}_x(\theta_x)\, \mathbf{x}, \quad \theta \sim \mathcal{U}[-\theta_{\max},
        \theta_{\max}]

    Args:
        theta (float or sequence, optional): Largest angle in radians, one for all axes or one
            for each. (default: :obj:`0.3`)
        num_joints (int, optional): Joints of a person. (default: :obj:`25`)
        generator (torch.Generator, optional): Source of chance. (default: torch's)

    Shapes:
        - **input, output:** :obj:`x` :math:`(M V, 3, T)`; dense :math:`(B, 3, T, V, M)`

    Raises:
        ValueError: If :obj:`theta` is negative, or coordinates are not three.

    Example:
        >>> from graphkit.datasets import SyntheticSkeletons
        >>> from graphkit.transforms import RandomSkeletonRotation
        >>> plain = SyntheticSkeletons(8)[0].x
        >>> turned = SyntheticSkeletons(8, transform=RandomSkeletonRotation())[0].x
        >>> bool((turned.norm(dim=1) - plain.norm(dim=1)).abs().max() < 1e-5)
        True
    """

    def __init__(
        self,
        theta: float | Sequence[float] = 0.3,
        num_joints: int = 25,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(num_joints)
        angles = [theta] * 3 if isinstance(theta, int | float) else list(theta)
        if len(angles) != 3 or min(angles) < 0:
            raise ValueError(f"'theta' must be one or three angles from 0, got {theta}")
        self.theta, self.generator = torch.tensor(angles), generator

    def dense(self, x: Tensor) -> Tensor:
        if x.size(1) != 3:
            raise ValueError(f"'x' must have 3 coordinates, got {x.size(1)}")
        drawn = torch.rand(x.size(0), 3, generator=self.generator)
        rotation = rotations((2 * drawn - 1) * self.theta).to(x)
        return torch.einsum("bdc,bctvm->bdtvm", rotation, x)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.theta.tolist()})"
