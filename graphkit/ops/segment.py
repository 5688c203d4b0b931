"""Reductions over groups of entries."""

from __future__ import annotations

from typing import Literal, overload

from torch import Tensor

from graphkit.ops import checks
from graphkit.ops.autograd import softmax, sums
from graphkit.ops.backends import active_backend
from graphkit.ops.dtypes import is_half, wide_dtype, widened

Reduce = Literal["sum", "mean", "max", "logsumexp"]


@overload
def segment_reduce(
    x: Tensor,
    index: Tensor,
    num_segments: int,
    reduce: Reduce = ...,
    return_arg: Literal[False] = ...,
) -> Tensor: ...
@overload
def segment_reduce(
    x: Tensor, index: Tensor, num_segments: int, reduce: Reduce, return_arg: Literal[True]
) -> tuple[Tensor, Tensor]: ...
def segment_reduce(
    x: Tensor,
    index: Tensor,
    num_segments: int,
    reduce: Reduce = "sum",
    return_arg: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    r"""Reduces the entries that share a group to one.

    .. math::
        y_g = \bigoplus_{k : g_k = g} x_k, \quad
        \bigoplus \in \{\textstyle\sum, \mathrm{mean}, \max, \log\sum\exp\}

    Groups need not be sorted; the sorted view is kept with ``index``. Empty groups hold 0,
    those of ``"logsumexp"`` hold :math:`-\infty`. The gradient of ``"max"`` goes to the first
    of several largest entries. Memory and time grow with the size of ``x``. To sum messages
    along edges use :func:`spmm`, which never forms them.

    Args:
        x (torch.Tensor): The entries, first dimension.
        index (torch.Tensor): The group :math:`g_k` of each entry.
        num_segments (int): The number of groups.
        reduce (str): ``"sum"``, ``"mean"``, ``"max"`` or ``"logsumexp"``.
            (default: :obj:`"sum"`)
        return_arg (bool, optional): With ``"max"``, also return the position of the first
            largest entry, :math:`E` for empty groups. (default: :obj:`False`)

    Shapes:
        - **input:** entries :math:`(E, *)`, groups :math:`(E)`
        - **output:** :math:`(G, *)`, and positions :math:`(G, *)` if asked for

    Raises:
        IndexError: If a group is negative or not below ``num_segments``.
        ValueError: If shapes, devices or options do not fit.
        TypeError: If dtypes do not fit.

    Example:
        >>> import torch
        >>> segment_reduce(torch.tensor([1.0, 2.0, 5.0]), torch.tensor([1, 0, 1]), 3)
        tensor([2., 6., 0.])
        >>> segment_reduce(torch.tensor([1.0, 2.0, 5.0]), torch.tensor([1, 0, 1]), 2, "max", True)
        (tensor([2., 5.]), tensor([1, 2]))
    """
    index = checks.as_index(index)
    batch = checks.as_entries(x, "x", index, num_segments)
    if reduce not in ("sum", "mean", "max", "logsumexp"):
        raise ValueError(f"reduce must be sum, mean, max or logsumexp, got {reduce!r}")
    if return_arg and reduce != "max":
        raise ValueError(f"return_arg=True needs reduce='max', got {reduce!r}")
    if reduce == "mean" and is_half(x):
        # The sum and the count may overflow where the mean does not.
        return segment_reduce(widened(x), index, num_segments, "mean").to(x.dtype)
    shape = (num_segments, *x.shape[1:])
    where = (index, -1, batch, num_segments, active_backend())
    if reduce == "max":
        value, arg = softmax.segment_max(*where)
        return (value.view(shape), arg.view(shape)) if return_arg else value.view(shape)
    if reduce == "logsumexp":
        return softmax.segment_lse(*where).view(shape)
    total = sums.segment_sum(*where)
    if reduce == "mean":
        total = total / _counts(index, batch, num_segments)
    return total.view(shape)


def _counts(index: Tensor, batch: Tensor, num_segments: int) -> Tensor:
    """The size of each group, at least 1, ``[1, G, 1]``."""
    ones = batch.new_ones(1, index.numel(), 1, dtype=wide_dtype(batch.dtype))
    counts = sums.segment_sum(index, -1, ones, num_segments, active_backend())
    return counts.clamp(min=1).to(batch.dtype)
