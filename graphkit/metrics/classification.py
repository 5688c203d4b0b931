"""Metrics of classification on tensors, for :class:`~graphkit.train.NodeTask` and alike."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["accuracy", "micro_f1"]


def accuracy(out: Tensor, y: Tensor) -> Tensor:
    r"""Share of rows whose largest score is that of the right class.

    .. math::
        \frac{1}{n} \sum_{i} [\arg\max_c o_{ic} = y_i]

    Args:
        out (Tensor): Scores of the classes.
        y (Tensor): Right classes.

    Shapes:
        - **input:** scores :math:`(n, C)`, classes :math:`(n)`
        - **output:** scalar

    Raises:
        ValueError: If the shapes do not match (labels :math:`(n, 1)` would broadcast against
            :math:`(n)`, so they are refused), there is no row, or a score is NaN.

    Example:
        >>> import torch
        >>> from graphkit.metrics import accuracy
        >>> accuracy(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1]))
        tensor(0.5000)
    """
    if out.dim() != 2 or y.shape != out.shape[:1] or len(y) == 0:
        raise ValueError(
            f"'out' must be [n, C] and 'y' [n] with n > 0, got {list(out.shape)}, {list(y.shape)}"
            + ("; use y.view(-1)" if y.dim() == 2 and y.size(1) == 1 else "")
        )
    if torch.isnan(out).any():
        raise ValueError("'out' holds NaN")
    return (out.argmax(dim=-1) == y).float().mean()


def micro_f1(out: Tensor, y: Tensor, threshold: float = 0.0) -> Tensor:
    r"""F1 over all pairs of a row and a label, for several labels per row.

    .. math::
        \frac{2\, TP}{2\, TP + FP + FN}

    The result is 0 where nothing is predicted and nothing is right, as in scikit-learn. Pairs
    whose label is NaN are not known and left out.

    Args:
        out (Tensor): Scores; above :obj:`threshold` the label is predicted.
        y (Tensor): Right labels, 0, 1 or NaN.
        threshold (float, optional): :obj:`0.0` for logits, :obj:`0.5` for probabilities.
            (default: :obj:`0.0`)

    Shapes:
        - **input:** scores and labels :math:`(n, C)`
        - **output:** scalar

    Raises:
        ValueError: If the shapes differ, :obj:`y` holds other values or no label at all, or a
            score is NaN.

    Example:
        >>> import torch
        >>> from graphkit.metrics import micro_f1
        >>> micro_f1(torch.tensor([[1.0, -1.0], [2.0, 3.0]]), torch.tensor([[1, 0], [0, 1]]))
        tensor(0.8000)
    """
    if out.shape != y.shape or out.dim() != 2:
        raise ValueError(
            f"'out' and 'y' must both be [n, C], got {list(out.shape)} and {list(y.shape)}"
        )
    known = ~y.isnan()
    if not ((y == 0) | (y == 1) | ~known).all():
        raise ValueError("'y' must hold 0 and 1 only, and NaN for what is not known")
    if y.numel() and not known.any():
        raise ValueError("'y' holds no label, only NaN")
    if torch.isnan(out).any():
        raise ValueError("'out' holds NaN")
    predicted, right = (out > threshold) & known, y == 1
    true_positive = (predicted & right).sum()
    positives = predicted.sum() + right.sum()
    return 2.0 * true_positive / positives.clamp(min=1)
