"""Products of sparse features with a dense matrix: weighted sums over the rows' entries."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from graphkit import ops
from graphkit.nn.hooks import is_untouched

__all__ = ["projected", "sparse_product", "with_values"]

_EDGES: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def sparse_product(x: Tensor, weight: Tensor) -> Tensor:
    r"""``x @ weight.t()`` for sparse CSR features, which get no gradient.

    .. math::
        y_i = \sum_{(i, f) \in \mathrm{nz}(x)} x_{i, f} \, w_f

    A row is a target, a column a source: :func:`graphkit.ops.spmm` sums forward and backward, in
    :math:`\mathcal{O}(\mathrm{nnz} \cdot C)`. The entries' order by column, which the backward
    pass needs, is found once and kept with the tensor.

    Args:
        x (torch.Tensor): Features ``[N, F]``, sparse CSR.
        weight (torch.Tensor): ``[C, F]``.

    Returns:
        ``[N, C]``, dense.
    """
    if torch.compiler.is_compiling():
        return F.embedding_bag(
            x.col_indices(),
            weight.t().contiguous(),
            x.crow_indices(),
            mode="sum",
            per_sample_weights=x.values(),
            include_last_offset=True,
        )
    return ops.spmm(edges_of(x), x.values().detach(), weight.t(), x.size(0))


def edges_of(x: Tensor) -> Tensor:
    """Columns and rows of the entries, ``[2, nnz]``, kept with the tensor while it is unchanged."""
    crow, col = x.crow_indices(), x.col_indices()
    state = (crow.data_ptr(), col.data_ptr(), crow._version, col._version)
    known = _EDGES.get(x)
    if known is not None and known[0] == state:
        return known[1]
    rows = torch.arange(x.size(0), dtype=col.dtype, device=x.device)
    edges = torch.stack([col, rows.repeat_interleave(crow.diff())])
    _EDGES[x] = state, edges
    return edges


def with_values(x: Tensor, values: Tensor) -> Tensor:
    """Other values at the same places, whose order is not looked for again."""
    new = torch.sparse_csr_tensor(
        x.crow_indices(), x.col_indices(), values, x.shape, check_invariants=False
    )
    if not torch.compiler.is_compiling():
        edges = edges_of(x)
        crow, col = new.crow_indices(), new.col_indices()
        _EDGES[new] = (crow.data_ptr(), col.data_ptr(), crow._version, col._version), edges
    return new


def projected(lin: nn.Module, x: Tensor) -> Tensor:
    """``lin(x)``; sparse CSR features take :func:`sparse_product` where nobody could tell."""
    usual = x.layout == torch.sparse_csr and not x.requires_grad
    if not usual or torch.compiler.is_compiling() or not is_untouched(lin):
        return lin(x)
    weight: Any = lin.weight
    if x.dtype != weight.dtype:
        return lin(x)
    out = sparse_product(x, weight)
    bias: Any = lin.bias
    return out if bias is None else out + bias
