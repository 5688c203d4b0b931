"""What a stream of tasks was learned like: from the performance matrix to single numbers."""

from __future__ import annotations

import torch
from torch import Tensor


def check_matrix(matrix: Tensor) -> Tensor:
    """The performance matrix in double precision, checked."""
    matrix = torch.as_tensor(matrix, dtype=torch.double)
    if matrix.dim() != 2 or matrix.size(0) != matrix.size(1) or matrix.numel() == 0:
        raise ValueError(f"'matrix' must have shape [K, K] with K > 0, got {list(matrix.shape)}")
    if not bool(torch.isfinite(matrix[torch.ones_like(matrix).tril().bool()]).all()):
        raise ValueError("'matrix' holds values that are not finite on or below the diagonal")
    return matrix


def average_performance(matrix: Tensor) -> float:
    r"""Mean score over all tasks after the last one was learned, as in the `"Gradient Episodic
    Memory for Continual Learning" <https://arxiv.org/abs/1706.08840>`_ paper.

    .. math::
        \mathrm{AP} = \frac{1}{K} \sum_{t=1}^{K} a_{K,t}

    Args:
        matrix (torch.Tensor): Entry :math:`a_{k,t}` is the score on task :math:`t` after task
            :math:`k` was learned.

    Shapes:
        - **input:** matrix :math:`(K, K)`; entries above the diagonal may be NaN
        - **output:** a number

    Raises:
        ValueError: If the matrix is not square, is empty, or holds NaN where it is read.

    Example:
        >>> round(average_performance(torch.tensor([[0.9, 0.0], [0.5, 0.8]])), 4)
        0.65
    """
    return float(check_matrix(matrix)[-1].mean())


def average_forgetting(matrix: Tensor, best: bool = False) -> float:
    r"""Mean loss of score on earlier tasks, as in the `"Overcoming Catastrophic Forgetting in
    Graph Neural Networks" <https://arxiv.org/abs/2012.06002>`_ paper; positive is forgetting.

    .. math::
        \mathrm{AF} = \frac{1}{K-1} \sum_{t=1}^{K-1} \left( a_{t,t} - a_{K,t} \right)

    Args:
        matrix (torch.Tensor): As in :func:`average_performance`.
        best (bool, optional): Compare with the best score the task ever had before the end,
            :math:`\max_{t \le k < K} a_{k,t}`, in place of :math:`a_{t,t}`.
            (default: :obj:`False`)

    Shapes:
        - **input:** matrix :math:`(K, K)`
        - **output:** a number; 0 for a single task

    Raises:
        ValueError: As in :func:`average_performance`.

    Example:
        >>> round(average_forgetting(torch.tensor([[0.9, 0.0], [0.5, 0.8]])), 4)
        0.4
    """
    matrix = check_matrix(matrix)
    if matrix.size(0) == 1:
        return 0.0
    earlier = matrix.diagonal()[:-1]
    if best:
        known = matrix.masked_fill(torch.ones_like(matrix).triu(1).bool(), -torch.inf)
        earlier = known[:-1, :-1].max(dim=0).values
    return float((earlier - matrix[-1, :-1]).mean())


def backward_transfer(matrix: Tensor) -> float:
    r"""Mean gain on earlier tasks from learning later ones, as in the `"Gradient Episodic Memory
    for Continual Learning" <https://arxiv.org/abs/1706.08840>`_ paper; negative is forgetting.

    .. math::
        \mathrm{BWT} = \frac{1}{K-1} \sum_{t=1}^{K-1} \left( a_{K,t} - a_{t,t} \right)

    Args:
        matrix (torch.Tensor): As in :func:`average_performance`.

    Shapes:
        - **input:** matrix :math:`(K, K)`
        - **output:** a number; 0 for a single task

    Raises:
        ValueError: As in :func:`average_performance`.

    Example:
        >>> round(backward_transfer(torch.tensor([[0.9, 0.0], [0.5, 0.8]])), 4)
        -0.4
    """
    return 0.0 - average_forgetting(matrix)


def forward_transfer(matrix: Tensor, baseline: Tensor) -> float:
    r"""Mean gain on tasks not yet learned over an untrained model, as in the `"Gradient Episodic
    Memory for Continual Learning" <https://arxiv.org/abs/1706.08840>`_ paper.

    .. math::
        \mathrm{FWT} = \frac{1}{K-1} \sum_{t=2}^{K} \left( a_{t-1,t} - b_t \right)

    Args:
        matrix (torch.Tensor): As in :func:`average_performance`.
        baseline (torch.Tensor): Scores :math:`b_t` of the model before any training.

    Shapes:
        - **input:** matrix :math:`(K, K)`, baseline :math:`(K)`
        - **output:** a number; 0 for a single task

    Raises:
        ValueError: If shapes do not fit, or an entry that is read is not finite.

    Example:
        >>> matrix = torch.tensor([[0.9, 0.7], [0.5, 0.8]])
        >>> round(forward_transfer(matrix, torch.tensor([0.5, 0.5])), 4)
        0.2
    """
    matrix = check_matrix(matrix)
    baseline = torch.as_tensor(baseline, dtype=torch.double)
    if baseline.shape != matrix.shape[:1]:
        raise ValueError(
            f"'baseline' must have shape [{matrix.size(0)}], got {list(baseline.shape)}"
        )
    if matrix.size(0) == 1:
        return 0.0
    gain = matrix.diagonal(1) - baseline[1:]
    if not bool(torch.isfinite(gain).all()):
        raise ValueError("'matrix' must hold the scores above the diagonal, a[t-1, t]")
    return float(gain.mean())
