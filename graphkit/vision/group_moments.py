"""Means and covariances of groups, gathered batch by batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphkit.catalog import no_method
from graphkit.precision import wide

__all__ = ["GroupMoments", "grouped_product"]


@no_method("running means and covariances of groups, which CausalAdv and DCCD share")
class GroupMoments(nn.Module):
    r"""The mean and the covariance of every group of samples, over all batches so far.

    With the share :math:`w = n / (N + n)` of :math:`n` new samples beside :math:`N` old ones,

    .. math::
        \mu \leftarrow \mu + w (\bar x - \mu), \qquad
        \Sigma \leftarrow (1 - w) \Sigma + w S + w (1 - w)
        (\bar x - \mu)(\bar x - \mu)^\top

    where :math:`\bar x` and :math:`S` are the batch's. That is exact: the result is the mean and
    the covariance, divided by the number of samples, of everything that was ever given, in any
    order. With ``momentum`` :math:`m` the share is :math:`w = 1 - m`, except for a group's first
    batch, so that what a network gave long ago is forgotten. A group that is not in a batch stays
    as it was. Moments carry no gradient and are in the state of the module; several processes
    have each those of its own samples.

    Args:
        num_groups (int): Groups.
        channels (int): Width of the samples.
        momentum (float, optional): :math:`m`, in [0, 1). (default: count all samples alike)

    Shapes:
        - **input:** samples :math:`(N, C)` and their groups :math:`(N)`
        - **output:** ``mean`` :math:`(G, C)`, ``cov`` :math:`(G, C, C)` and ``count`` :math:`(G)`

    Raises:
        ValueError: If an option is out of range, shapes do not fit, a group does not exist, or
            values are not finite.

    Time grows with :math:`G B C^2` for the largest group :math:`B` of a batch, memory with
    :math:`G C (B + C)`.

    Example:
        >>> import torch
        >>> from graphkit.vision import GroupMoments
        >>> moments = GroupMoments(2, 1)
        >>> moments.update(torch.tensor([[0.0], [2.0], [5.0]]), torch.tensor([0, 0, 1]))
        >>> moments.mean.flatten(), moments.cov.flatten()
        (tensor([1., 5.]), tensor([1., 0.]))
    """

    mean: Tensor
    cov: Tensor
    count: Tensor

    def __init__(self, num_groups: int, channels: int, momentum: float | None = None) -> None:
        super().__init__()
        if num_groups < 1 or channels < 1:
            raise ValueError(
                f"'num_groups' and 'channels' must be positive, got {num_groups} and {channels}"
            )
        if momentum is not None and not 0 <= momentum < 1:
            raise ValueError(f"'momentum' must be in [0, 1), got {momentum}")
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(num_groups, channels))
        self.register_buffer("cov", torch.zeros(num_groups, channels, channels))
        self.register_buffer("count", torch.zeros(num_groups, dtype=torch.long))

    def reset_parameters(self) -> None:
        """Forgets everything."""
        for name, buffer in self.named_buffers():
            setattr(self, name, torch.zeros_like(buffer))

    @torch.no_grad()
    def update(self, x: Tensor, group: Tensor | None = None) -> None:
        """Takes in a batch.

        Args:
            x (torch.Tensor): Samples.
            group (torch.Tensor, optional): The group of each. (default: the first)
        """
        group = torch.zeros(len(x), dtype=torch.long, device=x.device) if group is None else group
        self.check(x, group)
        if not len(x):
            return
        x, groups, channels = wide(x.detach()), *self.mean.shape
        size = group.bincount(minlength=groups)
        share = size / (self.count + size).clamp(min=1)
        if self.momentum is not None:
            share = torch.where(self.count > 0, 1 - self.momentum, 1.0) * (size > 0)
        share = share.to(x.dtype).unsqueeze(1)
        least = size.clamp(min=1).unsqueeze(1)
        mean = x.new_zeros(groups, channels).index_add_(0, group, x) / least
        rows, _, _ = side_by_side(x - mean[group], group, groups)
        cov = rows.mT @ rows / least.unsqueeze(2)
        shift = mean - self.mean
        between = (share * (1 - share)).unsqueeze(2) * shift.unsqueeze(2) * shift.unsqueeze(1)
        share = share.unsqueeze(2)
        # New tensors: a backward pass that is still to come needs those of before.
        self.cov = ((1 - share) * self.cov + share * cov + between).to(self.cov.dtype)
        self.mean = (self.mean + share.squeeze(2) * shift).to(self.mean.dtype)
        self.count = self.count + size

    def check(self, x: Tensor, group: Tensor) -> None:
        """Refuses by name what does not fit."""
        groups, channels = self.mean.shape
        if x.dim() != 2 or x.size(1) != channels or not x.is_floating_point():
            raise ValueError(f"'x' must hold floats [N, {channels}], got {x.dtype} {list(x.shape)}")
        if group.shape != x.shape[:1] or group.dtype != torch.long:
            raise ValueError(
                f"'group' must be int64 of shape [{len(x)}], got {group.dtype} {list(group.shape)}"
            )
        if len(x) and not 0 <= int(group.min()) <= int(group.max()) < groups:
            raise ValueError(
                f"'group' must be in 0 … {groups - 1}, got {int(group.min())} … {int(group.max())}"
            )
        if not x.isfinite().all():
            raise ValueError("'x' holds NaN or infinite values")


def side_by_side(x: Tensor, group: Tensor, groups: int) -> tuple[Tensor, Tensor, Tensor]:
    """Samples ``[G, B, C]`` group by group, zeros behind those of smaller groups than the largest.

    So one product serves all groups. Gives also the group and the place in it of every sample.
    """
    size = group.bincount(minlength=groups)
    order = group.argsort(stable=True)
    place = torch.empty_like(group)
    first = (size.cumsum(0) - size)[group[order]]
    place[order] = torch.arange(len(group), device=group.device) - first
    rows = x.new_zeros(groups, int(size.max()) if len(group) else 0, x.size(1))
    return rows.index_put((group, place), x), group, place


def grouped_product(x: Tensor, matrices: Tensor, group: Tensor) -> Tensor:
    """Every sample times the matrix of its group; no matrix is copied per sample.

    Args:
        x (torch.Tensor): Samples ``[N, C]``.
        matrices (torch.Tensor): Matrices ``[G, C, F]``.
        group (torch.Tensor): The group of each sample ``[N]``.
    """
    rows, group, place = side_by_side(x, group, len(matrices))
    return (rows @ matrices.to(x.dtype))[group, place]
