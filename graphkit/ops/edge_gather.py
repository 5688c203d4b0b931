"""Copies of group values at the entries."""

from __future__ import annotations

from torch import Tensor

from graphkit.ops import checks
from graphkit.ops.autograd import sums
from graphkit.ops.backends import active_backend


def gather(x: Tensor, index: Tensor) -> Tensor:
    r"""The value of its group at every entry: the adjoint of :func:`segment_reduce`'s sum.

    .. math::
        y_k = x_{g_k}

    Does what ``x[index]`` does, but its gradient is the fast deterministic segment sum.

    Args:
        x (torch.Tensor): One value per group.
        index (torch.Tensor): The group :math:`g_k` of each entry, such as ``edge_index[0]``.

    Shapes:
        - **input:** values :math:`(G, *)`, groups :math:`(E)`
        - **output:** :math:`(E, *)`

    Raises:
        IndexError: If a group is negative or not below the number of values.
        ValueError: If shapes or devices do not fit.
        TypeError: If dtypes do not fit.

    Example:
        >>> import torch
        >>> gather(torch.tensor([1.0, 2.0]), torch.tensor([1, 1, 0]))
        tensor([2., 2., 1.])
    """
    index = checks.as_index(index)
    checks.check_entries(x, "x", index)
    batch = x.reshape(1, x.size(0), checks.width(x))
    out = sums.gather(index, -1, batch, active_backend())
    return out.view(index.numel(), *x.shape[1:])
