"""Several streams' scores as one."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["fuse_scores"]

PYSKL_WEIGHTS = {"j": 2.0, "b": 2.0, "jm": 1.0, "bm": 1.0}


def fuse_scores(
    scores: Mapping[str, Tensor],
    weights: Mapping[str, float] | None = None,
    softmax: bool = True,
) -> Tensor:
    r"""The weighted sum of the streams' class probabilities, as in the `"PYSKL: Towards Good
    Practices for Skeleton Action Recognition" <https://arxiv.org/abs/2205.09443>`_ paper.

    .. math::
        \mathbf{p} = \frac{\sum_s w_s \operatorname{softmax}(\mathbf{z}_s)}{\sum_s w_s}

    Args:
        scores (dict): Scores of each stream, before the softmax.
        weights (dict, optional): Weight of each stream in :obj:`scores`.
            (default: PYSKL's 2 : 2 : 1 : 1 of ``j``, ``b``, ``jm``, ``bm``)
        softmax (bool, optional): Whether to turn scores into probabilities first; CTR-GCN's
            program sums the scores themselves. (default: :obj:`True`)

    Shapes:
        - **scores:** :math:`(B, K)` each
        - **output:** :math:`(B, K)`

    Raises:
        ValueError: If there are no scores, their shapes differ, or a stream has no weight.

    Example:
        >>> import torch
        >>> from graphkit.transforms import fuse_scores
        >>> scores = {"j": torch.tensor([[2.0, 0.0]]), "jm": torch.tensor([[0.0, 3.0]])}
        >>> fuse_scores(scores).argmax(1).item()
        0
    """
    weights = PYSKL_WEIGHTS if weights is None else weights
    shapes = {name: list(score.shape) for name, score in scores.items()}
    if not shapes or any(shape != next(iter(shapes.values())) for shape in shapes.values()):
        raise ValueError(f"'scores' must hold tensors of one shape, got {shapes}")
    missing = [name for name in scores if name not in weights]
    if missing:
        raise ValueError(f"'weights' has no weight of {missing[0]!r}; it has {sorted(weights)}")
    total = sum(weights[name] for name in scores)
    if not total > 0:
        raise ValueError(f"'weights' must add up to more than 0, got {total}")
    parts = [
        weights[name] * (score.softmax(dim=-1) if softmax else score)
        for name, score in scores.items()
    ]
    return torch.stack(parts).sum(dim=0) / total
