"""How well an order of candidates agrees with the true one, target by target, ties included."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "kendall",
    "mean_reciprocal_rank",
    "precision_at_k",
    "recall_at_k",
    "regret",
    "spearman",
]


def pair(scores: Tensor, truth: Tensor) -> tuple[np.ndarray, np.ndarray, torch.Size]:
    """Both as rows of numbers; what is NaN in one is NaN in both."""
    scores, truth = (torch.as_tensor(t, dtype=torch.double) for t in (scores, truth))
    if scores.shape != truth.shape or scores.dim() == 0:
        raise ValueError(
            f"'scores' and 'truth' need the same shape [*, M], got {list(scores.shape)} and "
            f"{list(truth.shape)}"
        )
    none = scores.isnan() | truth.isnan()
    count = (~none).sum(-1)
    if not count.numel() or int(count.min()) < 2:
        raise ValueError("every row needs at least two candidates, NaN left out")
    rows = [t.masked_fill(none, torch.nan).reshape(-1, t.size(-1)).numpy() for t in (scores, truth)]
    return rows[0], rows[1], scores.shape[:-1]


def spearman(scores: Tensor, truth: Tensor) -> Tensor:
    r"""Spearman's rank correlation of every row; tied values share their average rank.

    .. math::
        \rho = \frac{\sum_m (r_m - \bar r)(q_m - \bar q)}
        {\sqrt{\sum_m (r_m - \bar r)^2 \sum_m (q_m - \bar q)^2}}

    Args:
        scores (torch.Tensor): Scores of the candidates of each target, larger is better.
        truth (torch.Tensor): What they are really worth.

    Shapes:
        - **input:** both :math:`(*, M)`; NaN marks what is no candidate, such as the target itself
        - **output:** :math:`(*)`; 0 where all candidates are tied

    Raises:
        ValueError: If shapes differ or a row has fewer than two candidates.

    Example:
        >>> import torch
        >>> round(spearman(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 9.0, 4.0])).item(), 4)
        0.5
    """
    first, second, shape = pair(scores, truth)
    correlations = (unit_ranks(first) * unit_ranks(second)).sum(1)
    return torch.from_numpy(correlations).reshape(shape)


def unit_ranks(rows: np.ndarray) -> np.ndarray:
    """Average ranks of every row, centred and of length one; 0 for NaN and for constant rows."""
    from scipy.stats import rankdata

    ranks = rankdata(rows, axis=1, nan_policy="omit")
    ranks = np.nan_to_num(ranks - np.nanmean(ranks, axis=1, keepdims=True))
    length = np.linalg.norm(ranks, axis=1, keepdims=True)
    return ranks / np.where(length > 0, length, 1.0)


def kendall(scores: Tensor, truth: Tensor) -> Tensor:
    r"""Kendall's :math:`\tau_b` of every row.

    .. math::
        \tau_b = \frac{C - D}{\sqrt{(C + D + T_s)(C + D + T_t)}}

    with :math:`C` concordant and :math:`D` discordant pairs and :math:`T` pairs tied in one
    order only.

    Args:
        scores (torch.Tensor): As in :func:`spearman`.
        truth (torch.Tensor): As in :func:`spearman`.

    Shapes:
        - **input:** both :math:`(*, M)`
        - **output:** :math:`(*)`; 0 where all candidates are tied

    Raises:
        ValueError: As in :func:`spearman`.

    Example:
        >>> import torch
        >>> round(kendall(torch.tensor([1.0, 2.0, 2.0]), torch.tensor([1.0, 3.0, 3.0])).item(), 4)
        1.0
    """
    from scipy.stats import kendalltau

    first, second, shape = pair(scores, truth)
    correlations = [
        kendalltau(a[~np.isnan(a)], b[~np.isnan(b)]).statistic
        for a, b in zip(first, second, strict=True)
    ]
    return torch.from_numpy(np.nan_to_num(np.array(correlations))).reshape(shape)


def share_in_top(rows: np.ndarray, k: int) -> np.ndarray:
    """The chance of every candidate to be among the best ``k``, ties being broken at random."""
    better = (rows[:, None, :] > rows[:, :, None]).sum(2)
    tied = (rows[:, None, :] == rows[:, :, None]).sum(2)
    return np.clip((k - better) / np.maximum(tied, 1), 0.0, 1.0) * (tied > 0)


def overlap(scores: Tensor, truth: Tensor, k: int, relevant: int) -> Tensor:
    """How many of the best ``k`` by score are expected among the best ``relevant`` by truth."""
    first, second, shape = pair(scores, truth)
    fewest = int((~np.isnan(first)).sum(1).min())
    for name, value in (("k", k), ("relevant", relevant)):
        if not 1 <= value <= fewest:
            raise ValueError(f"'{name}' must lie between 1 and {fewest}, got {value}")
    both = share_in_top(first, k) * share_in_top(second, relevant)
    return torch.from_numpy(both.sum(1)).reshape(shape)


def precision_at_k(scores: Tensor, truth: Tensor, k: int, relevant: int = 5) -> Tensor:
    r"""P@K of every row: the share of the best :math:`K` by score that is truly among the best.

    .. math::
        P@K = |S_K \cap T_R| / K

    Ties are broken at random, and the expectation is given. A random order has :math:`R / M`.

    Args:
        scores (torch.Tensor): As in :func:`spearman`.
        truth (torch.Tensor): As in :func:`spearman`.
        k (int): :math:`K`.
        relevant (int, optional): :math:`R`, how many count as good. (default: :obj:`5`)

    Shapes:
        - **input:** both :math:`(*, M)`
        - **output:** :math:`(*)`

    Raises:
        ValueError: As in :func:`spearman`, or if ``k`` or ``relevant`` is out of range.

    Example:
        >>> import torch
        >>> order = torch.arange(10.0)
        >>> precision_at_k(order, order, k=5).item(), precision_at_k(order, -order, k=5).item()
        (1.0, 0.0)
    """
    return overlap(scores, truth, k, relevant) / k


def recall_at_k(scores: Tensor, truth: Tensor, k: int, relevant: int = 5) -> Tensor:
    r"""R@K of every row: the share of the truly best that is among the best :math:`K` by score.

    .. math::
        R@K = |S_K \cap T_R| / R

    Args:
        scores (torch.Tensor): As in :func:`spearman`.
        truth (torch.Tensor): As in :func:`spearman`.
        k (int): :math:`K`.
        relevant (int, optional): :math:`R`. (default: :obj:`5`)

    Shapes:
        - **input:** both :math:`(*, M)`
        - **output:** :math:`(*)`

    Raises:
        ValueError: As in :func:`precision_at_k`.

    Example:
        >>> import torch
        >>> order = torch.arange(10.0)
        >>> recall_at_k(order, order, k=2, relevant=4).item()
        0.5
    """
    return overlap(scores, truth, k, relevant) / relevant


def mean_reciprocal_rank(scores: Tensor, truth: Tensor) -> Tensor:
    r"""One over the rank by score of the truly best candidate, averaged over all rows.

    .. math::
        \mathrm{MRR} = \frac{1}{T} \sum_t \frac{1}{r_t}

    Tied candidates share their average rank; of several truly best the first by score counts.

    Args:
        scores (torch.Tensor): As in :func:`spearman`.
        truth (torch.Tensor): As in :func:`spearman`.

    Shapes:
        - **input:** both :math:`(*, M)`
        - **output:** a scalar

    Raises:
        ValueError: As in :func:`spearman`.

    Example:
        >>> import torch
        >>> truth = torch.tensor([[1.0, 9.0, 3.0], [7.0, 2.0, 1.0]])
        >>> mean_reciprocal_rank(torch.tensor([[0.1, 0.5, 0.9], [0.9, 0.1, 0.5]]), truth).item()
        0.75
    """
    from scipy.stats import rankdata

    first, second, _ = pair(scores, truth)
    place = rankdata(-first, axis=1, nan_policy="omit")
    best = second == np.nanmax(second, axis=1, keepdims=True)
    rank = np.where(best, place, np.inf).min(1)
    return torch.tensor(float((1 / rank).mean()), device="cpu")


def regret(scores: Tensor, truth: Tensor) -> Tensor:
    r"""What it costs to take the candidate of the highest score instead of the truly best one.

    .. math::
        \max_m q_m - q_{\operatorname{argmax}_m s_m}

    Tied scores are broken at random, and the expectation is given: constant scores have the
    regret of a random choice.

    Args:
        scores (torch.Tensor): As in :func:`spearman`.
        truth (torch.Tensor): As in :func:`spearman`.

    Shapes:
        - **input:** both :math:`(*, M)`
        - **output:** :math:`(*)`, in the unit of ``truth``

    Raises:
        ValueError: As in :func:`spearman`.

    Example:
        >>> import torch
        >>> regret(torch.tensor([0.2, 0.9, 0.1]), torch.tensor([60.0, 75.0, 80.0])).item()
        5.0
    """
    first, second, shape = pair(scores, truth)
    taken = (share_in_top(first, 1) * np.nan_to_num(second)).sum(1)
    return torch.from_numpy(np.nanmax(second, axis=1) - taken).reshape(shape)
