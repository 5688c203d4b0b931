"""How steadily the same learned factor stands for the same true one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["consistency_score"]


def consistency_score(matches: Tensor, num_factors: int) -> float:
    r"""C-Score of the `"Factorizable Graph Convolutional Networks"
    <https://arxiv.org/abs/2010.05421>`_ paper.

    .. math::
        C = \frac{1}{|T|} \sum_{t} \max_k \frac{|\{b : \pi_b(t) = k\}|}
        {|\{b : t \in T_b\}|}

    over the graphs :math:`b` that hold the true factor :math:`t`.  Matches drawn at random reach
    :math:`1/K` and a little more on few graphs; :func:`~graphkit.metrics.factor_ged` reports
    what random gates reach on the same graphs.

    Args:
        matches (torch.Tensor): The learned factor matched with each true factor of each graph,
            -1 where there is none, as in :class:`~graphkit.metrics.FactorGED`.
        num_factors (int): Number of learned factors :math:`K`.

    Shapes:
        - **input:** matches :math:`(B, T)`
        - **output:** a number between 0 and 1

    Raises:
        ValueError: If a match is not between -1 and :math:`K - 1`, or nothing is matched.

    Example:
        >>> import torch
        >>> from graphkit.metrics import consistency_score
        >>> consistency_score(torch.tensor([[0, 1], [0, -1], [0, 2]]), num_factors=3)
        0.75
    """
    if matches.dim() != 2:
        raise ValueError(f"'matches' must have shape [B, T], got {list(matches.shape)}")
    if matches.numel() and not -1 <= int(matches.min()) <= int(matches.max()) < num_factors:
        raise ValueError(
            f"'matches' must lie between -1 and {num_factors - 1}, got values from "
            f"{int(matches.min())} to {int(matches.max())}"
        )
    counts = F.one_hot(matches + 1, num_factors + 1)[..., 1:].sum(0)
    there = counts.sum(1) > 0
    if not there.any():
        raise ValueError("'matches' holds no match")
    shares = counts[there].max(1).values / counts[there].sum(1)
    return float(shares.to(torch.double).mean())
