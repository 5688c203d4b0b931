"""Manhattan lengths of edges, a few thousand edges at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

ENTRIES = 1 << 20


class _Manhattan(torch.autograd.Function):
    """Differences exist for one chunk only, in the forward and in the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, edge_index: Tensor) -> Tensor:
        ctx.save_for_backward(x, edge_index)
        out = x.new_empty(edge_index.size(1))
        for part, source, target in _chunks(x, edge_index):
            out[part] = (x[source] - x[target]).abs().sum(-1)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        x, edge_index = ctx.saved_tensors
        grad_x = torch.zeros_like(x)
        for part, source, target in _chunks(x, edge_index):
            towards = (x[source] - x[target]).sign_().mul_(grad[part].unsqueeze(-1))
            grad_x.index_add_(0, source, towards)
            grad_x.index_add_(0, target, towards, alpha=-1)
        return grad_x, None


def _chunks(x: Tensor, edge_index: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
    step = max(ENTRIES // max(x.size(1), 1), 1)
    for start in range(0, edge_index.size(1), step):
        part = slice(start, start + step)
        yield part, edge_index[0, part], edge_index[1, part]


def manhattan(x: Tensor, edge_index: Tensor) -> Tensor:
    r"""The lengths :math:`\lVert x_j - x_i \rVert_1` of all edges.

    No sparse product gives this norm, so the differences are formed, but never more than
    :math:`2^{20}` entries of them: memory grows with :math:`N C + |\mathcal{E}|`, time with
    :math:`|\mathcal{E}| C`. First derivatives only.

    Args:
        x (torch.Tensor): Node features.
        edge_index (torch.Tensor): The edges; indices must be valid.

    Shapes:
        - **input:** features :math:`(N, C)`, edges :math:`(2, |\mathcal{E}|)`
        - **output:** :math:`(|\mathcal{E}|)`

    Example:
        >>> import torch
        >>> manhattan(torch.tensor([[0.0, 1.0], [2.0, -1.0]]), torch.tensor([[0], [1]]))
        tensor([4.])
    """
    return _Manhattan.apply(x, edge_index)
