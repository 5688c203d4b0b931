"""Mean average precision of detected segments of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from graphkit.precision import positive

__all__ = ["temporal_map"]

Truth = tuple[Tensor, Tensor]
Found = tuple[Tensor, Tensor, Tensor]


def temporal_map(
    found: Sequence[Found], truth: Sequence[Truth], thresholds: Sequence[float]
) -> dict[float, float]:
    r"""Mean average precision over actions at several overlaps, as in the `"ActivityNet: A
    Large-Scale Video Benchmark for Human Activity Understanding"
    <https://doi.org/10.1109/CVPR.2015.7298698>`_ paper's evaluation.

    .. math::
        \mathrm{AP} = \sum_k (R_k - R_{k-1}) \max_{k' \ge k} P_{k'}

    Detections of an action are taken by falling score; each is right if it overlaps, enough, an
    action of its video that no detection before it has taken. Actions without any truth are
    left out.

    Args:
        found (sequence of tuple): For each video segments :math:`(N, 2)`, actions :math:`(N)`
            and scores :math:`(N)`.
        truth (sequence of tuple): For each video segments :math:`(K, 2)` and actions :math:`(K)`.
        thresholds (sequence of float): Least overlaps, above 0 and at most 1.

    Raises:
        ValueError: If the numbers of videos differ, there is no action at all, the tensors of a
            video do not fit each other, a number is not finite, a segment ends before it
            starts, or a threshold is out of range.

    Example:
        >>> import torch
        >>> truth = [(torch.tensor([[0.0, 4.0]]), torch.tensor([2]))]
        >>> found = [(torch.tensor([[0.0, 3.0]]), torch.tensor([2]), torch.tensor([0.9]))]
        >>> temporal_map(found, truth, [0.5, 0.9])
        {0.5: 1.0, 0.9: 0.0}
    """
    if len(found) != len(truth):
        raise ValueError(f"'found' has {len(found)} videos, 'truth' {len(truth)}")
    found = [checked(f"found[{place}]", video, 3) for place, video in enumerate(found)]
    truth = [checked(f"truth[{place}]", video, 2) for place, video in enumerate(truth)]
    for threshold in thresholds:
        # At an overlap of 0 any two segments of a video would match.
        if not 0 < threshold <= 1:
            raise ValueError(f"'thresholds' must be above 0 and at most 1, got {threshold}")
    actions = torch.cat([classes for _, classes in truth]).unique().tolist() if truth else []
    if not actions:
        raise ValueError("'truth' holds no action")
    return {
        threshold: sum(average_precision(found, truth, action, threshold) for action in actions)
        / len(actions)
        for threshold in thresholds
    }


def checked(name: str, video: Any, parts: int) -> Any:
    """A video on the CPU, its times and scores in double precision; refuses what does not fit.

    Half precision would round the ends away and overflow at the length of a film, and differences
    of small unsigned numbers would wrap.
    """
    if len(video) != parts:
        wanted = "segments, actions and scores" if parts == 3 else "segments and actions"
        raise ValueError(f"'{name}' must hold {wanted}, got {len(video)} parts")
    segments, *columns = (torch.as_tensor(part).detach().cpu() for part in video)
    shapes = [list(column.shape) for column in columns]
    if segments.dim() != 2 or segments.size(1) != 2 or any(s != [len(segments)] for s in shapes):
        raise ValueError(
            f"'{name}' must hold segments [N, 2] and [N] of everything else, "
            f"got {list(segments.shape)} and {shapes}"
        )
    if not all(part.isfinite().all() for part in (segments, *columns)):
        raise ValueError(f"'{name}' holds NaN or infinite values")
    if (segments[:, 1] < segments[:, 0]).any():
        raise ValueError(f"'{name}' has a segment that ends before it starts")
    actions, *scores = columns
    return segments.double(), actions, *(score.double() for score in scores)


def average_precision(
    found: Sequence[Found], truth: Sequence[Truth], action: int, threshold: float
) -> float:
    """Average precision of one action at one overlap."""
    hits, scores, total = [], [], 0
    for (segments, actions, values), (real, classes) in zip(found, truth, strict=True):
        mine, its = actions == action, real[classes == action]
        order = values[mine].argsort(descending=True, stable=True)
        hits.append(taken(segments[mine][order], its, threshold))
        scores.append(values[mine][order])
        total += len(its)
    score, hit = torch.cat(scores), torch.cat(hits).double()
    hit = hit[score.argsort(descending=True, stable=True)]
    if not len(hit):
        return 0.0
    right = hit.cumsum(0)
    precision = right / torch.arange(1, len(hit) + 1)
    best = precision.flip(0).cummax(0).values.flip(0)
    return float((best * hit).sum() / total)


def taken(segments: Tensor, real: Tensor, threshold: float) -> Tensor:
    """Which detections, best first, take an action that is still free."""
    hit = torch.zeros(len(segments), dtype=torch.bool, device=segments.device)
    if not len(segments) or not len(real):
        return hit
    shared = torch.minimum(segments[:, None, 1], real[:, 1]) - torch.maximum(
        segments[:, None, 0], real[:, 0]
    )
    shared = shared.clamp(min=0)
    lengths = (segments[:, 1] - segments[:, 0])[:, None] + (real[:, 1] - real[:, 0])
    overlap = shared / positive(lengths - shared)
    for place in range(len(segments)):
        best = int(overlap[place].argmax())
        if overlap[place, best] >= threshold:
            hit[place] = True
            overlap[:, best] = -1.0
    return hit
