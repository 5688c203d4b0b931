"""Fixed anchors of a pyramid of time, and which of them are an action."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from graphkit.catalog import no_method
from graphkit.refusals import refuse_infinite

__all__ = ["Anchors", "hard_negatives", "match_anchors", "pad_actions", "pyramid_anchors"]

RATIOS = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))


@no_method("the anchors of a pyramid")
class Anchors(NamedTuple):
    """Segments that detectors begin with; times are shares of the video.

    Args:
        centre (torch.Tensor): :math:`(A)`.
        width (torch.Tensor): :math:`(A)`.
        level (torch.Tensor): Level of the pyramid, :math:`(A)`.
        cell (torch.Tensor): Cell of the level, :math:`(A)`.

    Example:
        >>> from graphkit.vision import pyramid_anchors
        >>> pyramid_anchors([2, 1], (1.0,)).level
        tensor([0, 0, 1])
    """

    centre: Tensor
    width: Tensor
    level: Tensor
    cell: Tensor

    def segments(self) -> Tensor:
        """Starts and ends, :math:`(A, 2)`."""
        return torch.stack([self.centre - self.width / 2, self.centre + self.width / 2], 1)


def pyramid_anchors(
    cells: Sequence[int], ratios: Sequence[float] = RATIOS, device: torch.device | None = None
) -> Anchors:
    r"""The anchors of all cells of a pyramid, ratios running fastest.

    .. math::
        c = \frac{i + 1/2}{T_l}, \qquad w = \frac{r}{T_l}

    Args:
        cells (sequence of int): Cells :math:`T_l` of each level.
        ratios (sequence of float, optional): Widths :math:`r` in cells.
            (default: :math:`1, 2^{1/3}, 2^{2/3}`)
        device (torch.device, optional): Where. (default: the CPU)

    Example:
        >>> len(pyramid_anchors([128, 64, 32, 16, 8, 4, 2, 1]).centre)
        765
    """
    centre, width, level, cell = [], [], [], []
    ratio = torch.tensor(list(ratios), device=device)
    for number, count in enumerate(cells):
        index = torch.arange(count, device=device).repeat_interleave(len(ratio))
        cell.append(index)
        centre.append((index + 0.5) / count)
        width.append((ratio / count).repeat(count))
        level.append(torch.full_like(index, number))
    return Anchors(*(torch.cat(parts) for parts in (centre, width, level, cell)))


def pad_actions(
    truth: Sequence[tuple[Tensor, Tensor]], like: Tensor, background: int
) -> tuple[Tensor, Tensor]:
    """Actions of videos in two tensors; the last of each video is always empty background.

    Args:
        truth (sequence of tuple): For each video segments :math:`(K, 2)` and classes :math:`(K)`.
        like (torch.Tensor): Of the type and on the device that segments shall have.
        background (int): The class of what is padded.

    Shapes:
        - **output:** segments :math:`(B, K + 1, 2)`, classes :math:`(B, K + 1)`

    Raises:
        ValueError: If an action has no length, or is not finite.
    """
    for video, (segments, classes) in enumerate(truth):
        if segments.shape != (len(classes), 2):
            raise ValueError(
                f"'truth' must hold segments [K, 2] and classes [K], got {list(segments.shape)} "
                f"and {list(classes.shape)} in video {video}"
            )
        if not (segments[:, 1] > segments[:, 0]).all():
            raise ValueError(f"'truth' has an action of no length in video {video}")
    refuse_infinite("truth", torch.cat([pair[0] for pair in truth]))
    segments = pad_sequence([pair[0].to(like) for pair in truth], batch_first=True)
    classes = pad_sequence(
        [pair[1].to(like.device).long() for pair in truth],
        batch_first=True,
        padding_value=background,
    )
    return F.pad(segments, (0, 0, 0, 1)), F.pad(classes, (0, 1), value=background)


@torch.no_grad()
def match_anchors(
    overlap: Tensor, positive: float, nearest: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """Whether an anchor is a positive, its best overlap, and with which action.

    Args:
        overlap (torch.Tensor): Overlaps of anchors and actions, :math:`(B, A, K)`.
        positive (float): Least overlap of a positive.
        nearest (bool, optional): Whether the best anchor of each action is one, too.
            (default: :obj:`True`)

    Shapes:
        - **output:** three times :math:`(B, A)`
    """
    best, which = overlap.max(2)
    hit = best >= positive
    if nearest:
        top, anchor = overlap.max(1)
        video, action = (top > 0).nonzero(as_tuple=True)
        first = anchor[video, action]
        hit[video, first], which[video, first] = True, action
    return hit, best, which


def hard_negatives(error: Tensor, candidates: Tensor, count: int) -> Tensor:
    """The candidates with the largest errors of the batch, as a mask.

    Args:
        error (torch.Tensor): Errors, :math:`(B, A)`.
        candidates (torch.Tensor): Which may be taken, :math:`(B, A)`.
        count (int): How many.
    """
    score = error.detach().masked_fill(~candidates, -torch.inf).flatten()
    worst = score.topk(min(count, int(candidates.sum()))).indices
    negatives = torch.zeros_like(score, dtype=torch.bool)
    negatives[worst] = True
    return negatives.view_as(candidates)
