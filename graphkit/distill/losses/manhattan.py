"""Manhattan lengths of edges: a kernel on the CPU, elsewhere a few thousand edges at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphkit.ops.cpu.arrays import EXACT, flat
from graphkit.ops.cpu.threads import run
from graphkit.ops.layout.rows import graph_of
from graphkit.ops.situation import is_plain

# Two rows of differences of this many entries fit into the second cache beside each other.
ENTRIES = 1 << 17


class _Manhattan(torch.autograd.Function):
    """Differences exist for one chunk only, in the forward and in the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, edge_index: Tensor) -> Tensor:
        ctx.save_for_backward(x, edge_index)
        if _in_kernel(x):
            return _lengths(x, edge_index)
        out = x.new_empty(edge_index.size(1))
        for part, source, target in _chunks(x, edge_index):
            out[part] = (x[source] - x[target]).abs().sum(-1)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        x, edge_index = ctx.saved_tensors
        if _in_kernel(x):
            return _back(x, edge_index, grad), None
        grad_x = torch.zeros_like(x)
        for part, source, target in _chunks(x, edge_index):
            towards = (x[source] - x[target]).sign_().mul_(grad[part].unsqueeze(-1))
            grad_x.index_add_(0, source, towards)
            grad_x.index_add_(0, target, towards, alpha=-1)
        return grad_x, None


def _in_kernel(x: Tensor) -> bool:
    """Whether the compiled loops may read the memory of the features."""
    return x.device.type == "cpu" and x.dtype in EXACT and is_plain((x,))


def _lengths(x: Tensor, edge_index: Tensor) -> Tensor:
    """The lengths, by the kernel."""
    from graphkit.distill.kernels import lengths

    out = x.new_empty(edge_index.size(1))
    ends = (edge_index[row].contiguous().numpy() for row in (0, 1))
    run(
        lengths.edge_lengths,
        out.numel(),
        out.numel() * x.size(1),
        *ends,
        flat(x),
        x.size(1),
        flat(out),
    )
    return out


def _back(x: Tensor, edge_index: Tensor, grad: Tensor) -> Tensor:
    """The gradient of the features: each end of an edge hears it once."""
    from graphkit.distill.kernels import lengths

    graph, out = graph_of(edge_index, x.size(0), x.size(0)), torch.zeros_like(x)
    for transposed in (False, True):
        order, others = graph.sorted_by(transposed)
        perm = order.indptr[:0] if order.perm is None else order.perm
        run(
            lengths.add_signs,
            x.size(0),
            grad.numel() * x.size(1),
            order.indptr.numpy(),
            others.numpy(),
            perm.numpy(),
            flat(x),
            flat(grad),
            x.size(1),
            flat(out),
        )
    return out


def _chunks(x: Tensor, edge_index: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
    step = max(ENTRIES // max(x.size(1), 1), 1)
    for start in range(0, edge_index.size(1), step):
        part = slice(start, start + step)
        yield part, edge_index[0, part], edge_index[1, part]


def manhattan(x: Tensor, edge_index: Tensor) -> Tensor:
    r"""The lengths :math:`\lVert x_j - x_i \rVert_1` of all edges.

    No sparse product gives this norm. On a CPU a compiled loop adds it up edge by edge; elsewhere,
    and where the call is recorded, the differences are formed, but never more than :math:`2^{17}`
    entries of them. Memory grows with :math:`N C + |\mathcal{E}|`, time with
    :math:`|\mathcal{E}| C`: every edge fetches both rows, forward and twice more backward, and that
    is the limit. First derivatives only.

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
