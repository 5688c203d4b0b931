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
        num_joints (int, optional): Joints of a person, to check. (default: whatever the data
            has)
        generator (torch.Generator, optional): Source of chance. (default: torch's)
        score (bool, optional): Whether the last channel is a detector's score, which stays.
            Clips that say ``scored`` need it. (default: :obj:`False`)

    Two coordinates turn in their plane, by an angle below the last of :obj:`theta`; the released
    code draws that angle from a range that is not symmetric.

    Shapes:
        - **input, output:** :obj:`x` :math:`(M V, C, T)`; dense :math:`(B, C, T, V, M)`, with two
          or three coordinates

    Raises:
        ValueError: If :obj:`theta` is negative, or coordinates are not two or three.

    Example:
        >>> from graphkit.datasets import SyntheticSkeletons
        >>> from graphkit.transforms import RandomSkeletonRotation
        >>> plain = SyntheticSkeletons(8)[0].x
        >>> turned = SyntheticSkeletons(8, transform=RandomSkeletonRotation())[0].x
        >>> bool((turned.norm(dim=1) - plain.norm(dim=1)).abs().max() < 1e-5)
        True
    """

    score: bool

    def __init__(
        self,
        theta: float | Sequence[float] = 0.3,
        num_joints: int | None = None,
        generator: torch.Generator | None = None,
        score: bool = False,
    ) -> None:
        super().__init__(num_joints)
        angles = [theta] * 3 if isinstance(theta, int | float) else list(theta)
        if len(angles) != 3 or min(angles) < 0:
            raise ValueError(f"'theta' must be one or three angles from 0, got {theta}")
        self.theta, self.generator, self.score = torch.tensor(angles), generator, score

    def dense(self, x: Tensor) -> Tensor:
        coordinates = x.size(1) - self.score
        if coordinates not in (2, 3):
            raise ValueError(
                f"'x' must have 2 or 3 coordinates, got {coordinates} with score={self.score}"
            )
        drawn = torch.rand(x.size(0), 3, generator=self.generator)
        angles = (2 * drawn - 1) * self.theta
        if coordinates == 2:
            angles[:, :2] = 0
        rotation = rotations(angles)[:, :coordinates, :coordinates].to(x)
        turned = torch.einsum("bdc,bctvm->bdtvm", rotation, x[:, :coordinates])
        return torch.cat([turned, x[:, coordinates:]], 1) if self.score else turned

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.theta.tolist()})"
