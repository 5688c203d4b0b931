"""Segments of time: overlaps, box coding, suppression, and grouping of Gaussian kernels."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.precision import positive

__all__ = ["decode", "encode", "group_kernels", "segment_iou", "temporal_nms"]

PRIOR = 0.1


def segment_iou(first: Tensor, second: Tensor) -> Tensor:
    r"""Overlap of segments, as a share of their union.

    .. math::
        \mathrm{tIoU}(a, b) = |a \cap b| \,/\, |a \cup b|

    Args:
        first (torch.Tensor): Starts and ends.
        second (torch.Tensor): Starts and ends.

    Shapes:
        - **input:** :math:`(*, N, 2)`, :math:`(*, M, 2)`
        - **output:** :math:`(*, N, M)`; 0 where both are empty

    Example:
        >>> import torch
        >>> segment_iou(torch.tensor([[0.0, 4.0]]), torch.tensor([[2.0, 4.0], [4.0, 5.0]]))
        tensor([[0.5000, 0.0000]])
    """
    one, two = first.unsqueeze(-2), second.unsqueeze(-3)
    shared = torch.minimum(one[..., 1], two[..., 1]) - torch.maximum(one[..., 0], two[..., 0])
    shared = shared.clamp(min=0)
    union = (one[..., 1] - one[..., 0]) + (two[..., 1] - two[..., 0]) - shared
    return torch.where(union > 0, shared / positive(union), 0.0)


def encode(segments: Tensor, centre: Tensor, width: Tensor) -> Tensor:
    r"""Segments as offsets from anchors, what :func:`decode` takes back.

    .. math::
        \Delta c = (\phi_c - a_c) / (\alpha a_w), \quad \Delta w = \log(\phi_w / a_w) / \alpha,
        \quad \alpha = 0.1

    Args:
        segments (torch.Tensor): Starts and ends, ``[*, 2]``.
        centre (torch.Tensor): Centres of the anchors, ``[*]``.
        width (torch.Tensor): Widths of the anchors, ``[*]``.
    """
    middle, length = segments.mean(-1), segments[..., 1] - segments[..., 0]
    shift = (middle - centre) / (PRIOR * width)
    return torch.stack([shift, (length / width).log() / PRIOR], -1)


def decode(offsets: Tensor, centre: Tensor, width: Tensor) -> Tensor:
    r"""Starts and ends from offsets and anchors; widths change by :math:`e^{\pm 5}` at most.

    Args:
        offsets (torch.Tensor): Shift and stretch, ``[*, 2]``.
        centre (torch.Tensor): Centres of the anchors, ``[*]``.
        width (torch.Tensor): Widths of the anchors, ``[*]``.

    Example:
        >>> import torch
        >>> decode(torch.zeros(1, 2), torch.tensor([0.5]), torch.tensor([0.2]))
        tensor([[0.4000, 0.6000]])
    """
    middle = centre + PRIOR * width * offsets[..., 0]
    half = 0.5 * width * (PRIOR * offsets[..., 1]).clamp(-5.0, 5.0).exp()
    return torch.stack([middle - half, middle + half], -1)


def temporal_nms(segments: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """The segments that no better one overlaps by more than ``threshold``, best first.

    Args:
        segments (torch.Tensor): Starts and ends, ``[N, 2]``.
        scores (torch.Tensor): Larger is better, ``[N]``.
        threshold (float): Largest overlap with a kept segment.

    Example:
        >>> import torch
        >>> segments = torch.tensor([[0.0, 2.0], [0.0, 2.1], [3.0, 4.0]])
        >>> temporal_nms(segments, torch.tensor([0.5, 0.9, 0.1]), 0.5)
        tensor([1, 2])
    """
    order = scores.argsort(descending=True, stable=True)
    covers = segment_iou(segments[order], segments[order]) > threshold
    alive = torch.ones(len(order), dtype=torch.bool, device=scores.device)
    for place in range(len(order)):
        if alive[place]:
            alive[place + 1 :] &= ~covers[place, place + 1 :]
    return order[alive]


def group_kernels(mean: Tensor, sigma: Tensor, threshold: float) -> tuple[Tensor, Tensor, Tensor]:
    r"""Merges neighbouring kernels :math:`[\mu - \sigma, \mu + \sigma]` that overlap enough.

    Successive kernels with a tIoU above the threshold become one kernel that covers them,
    until none is left to merge. All rows are grouped at once.

    Args:
        mean (torch.Tensor): Centres, ascending.
        sigma (torch.Tensor): Half widths.
        threshold (float): Overlap above which neighbours are merged.

    Shapes:
        - **input:** :math:`(B, T)`, :math:`(B, T)`
        - **output:** number of each kernel's group from 0, and centre and half width of each
          kernel's group, all :math:`(B, T)`

    Example:
        >>> import torch
        >>> mean, sigma = torch.tensor([[1.0, 2.0, 9.0]]), torch.tensor([[2.0, 2.0, 1.0]])
        >>> group, centre, half = group_kernels(mean, sigma, 0.5)
        >>> group, half
        (tensor([[0, 0, 1]]), tensor([[2.5000, 2.5000, 1.0000]]))
    """
    start, end = mean - sigma, mean + sigma
    group = torch.arange(mean.size(1), device=mean.device).expand(mean.shape)
    while True:
        left = torch.stack([start[:, :-1], end[:, :-1]], -1).unsqueeze(-2)
        right = torch.stack([start[:, 1:], end[:, 1:]], -1).unsqueeze(-2)
        joined = segment_iou(left, right).flatten(-2).squeeze(-1) > threshold
        apart = (group[:, 1:] != group[:, :-1]) & ~joined
        number = torch.cat([apart.new_zeros(len(apart), 1), apart], 1).long().cumsum(1)
        if torch.equal(number, group):
            return group, (start + end) / 2, (end - start) / 2
        group = number
        first, last = mean - sigma, mean + sigma
        low = first.new_zeros(first.shape).scatter_reduce(
            1, group, first, "amin", include_self=False
        )
        high = last.new_zeros(last.shape).scatter_reduce(1, group, last, "amax", include_self=False)
        start, end = low.gather(1, group), high.gather(1, group)
