"""Attention whose scores are dot products of queries and keys, in one kernel."""

from __future__ import annotations

from typing import Any, Literal, overload

import torch
from torch import Tensor

from graphkit.ops import checks, ends
from graphkit.ops.autograd import product_attention
from graphkit.ops.backends import active_backend


@overload
def dot_attention(
    edge_index: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scale: float | None = ...,
    dropout: float = ...,
    training: bool = ...,
    return_weights: Literal[False] = ...,
    edge_attr: Tensor | None = ...,
    lin_edge: Tensor | None = ...,
) -> Tensor: ...
@overload
def dot_attention(
    edge_index: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scale: float | None = ...,
    dropout: float = ...,
    training: bool = ...,
    *,
    return_weights: Literal[True],
    edge_attr: Tensor | None = ...,
    lin_edge: Tensor | None = ...,
) -> tuple[Tensor, Tensor]: ...
def dot_attention(
    edge_index: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scale: float | None = None,
    dropout: float = 0.0,
    training: bool = False,
    return_weights: bool = False,
    edge_attr: Tensor | None = None,
    lin_edge: Tensor | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    r"""Scaled dot-product attention over edges, as in the `"Masked Label Prediction: Unified
    Message Passing Model for Semi-Supervised Classification"
    <https://arxiv.org/abs/2009.03509>`_ paper.

    .. math::
        \alpha_{e,h} &= \mathrm{softmax}_{e \to i} \left( s \, \mathbf{q}_{i,h}^{\top}
            (\mathbf{k}_{j,h} + \mathbf{W}_h \mathbf{f}_e) \right)

        \mathbf{y}_{i,h} &= \sum_{e = (j \to i)} \alpha_{e,h}
            (\mathbf{v}_{j,h} + \mathbf{W}_h \mathbf{f}_e)

    Projected edge features never exist: :math:`\mathbf{q}^{\top} \mathbf{W} \mathbf{f}` is
    :math:`(\mathbf{W}^{\top} \mathbf{q})^{\top} \mathbf{f}` with one vector per target, and
    :math:`\sum \alpha \mathbf{W} \mathbf{f}` is :math:`\mathbf{W} \sum \alpha \mathbf{f}`.
    Time grows with :math:`|\mathcal{E}| H (C + D)`. On a CPU no weight is kept from forward to
    backward: memory grows with :math:`(N + M) H (C + D)`, and by :math:`2 |\mathcal{E}| H` numbers
    while the backward pass runs. Other backends are
    composed of their own sums, products and softmax; the terms of edges are PyTorch on a bounded
    number of edges at a time. There memory grows by :math:`|\mathcal{E}| H`, and so it does with
    ``return_weights`` and for second derivatives. The dropout mask is as in
    :func:`graphkit.ops.gat_attention`.

    Args:
        edge_index (torch.Tensor or EdgeIndex): The edges, ``edge_index[0]`` the sources.
        query (torch.Tensor): What targets ask for.
        key (torch.Tensor): What sources answer to.
        value (torch.Tensor): What sources say.
        scale (float, optional): The factor :math:`s` of scores.
            (default: :math:`1 / \sqrt{C}`)
        dropout (float, optional): The probability to drop a weight. (default: :obj:`0.0`)
        training (bool, optional): Whether dropout applies. (default: :obj:`False`)
        return_weights (bool, optional): Also return the weights, in the order of
            ``edge_index`` and *before* dropout, as
            :class:`~torch_geometric.nn.conv.TransformerConv` does. (default: :obj:`False`)
        edge_attr (torch.Tensor, optional): Features :math:`\mathbf{f}_e` of the edges, the same
            for every graph of a batch. (default: :obj:`None`)
        lin_edge (torch.Tensor, optional): The matrix :math:`\mathbf{W}` that projects them to
            keys and values, which then are of equal width; needed with ``edge_attr``.
            (default: :obj:`None`)

    Shapes:
        - **input:** edges :math:`(2, |\mathcal{E}|)`, queries :math:`(M, H, C)`, keys
          :math:`(N, H, C)`, values :math:`(N, H, V)`, or all three with a leading :math:`B`;
          edge features :math:`(|\mathcal{E}|, D)`, matrix :math:`(H C, D)`
        - **output:** :math:`(M, H, V)`, and weights :math:`(|\mathcal{E}|, H)` if asked for;
          or both with a leading :math:`B`

    Raises:
        IndexError: If an index is negative or not below the number of nodes.
        ValueError: If shapes, devices or options do not fit.
        TypeError: If dtypes do not fit.

    Example:
        >>> import torch
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 1, 0]])
        >>> x = torch.ones(3, 2, 4)
        >>> out, weight = dot_attention(edge_index, x, x, x, return_weights=True)
        >>> out.shape, weight.tolist()
        (torch.Size([3, 2, 4]), [[0.5, 0.5], [0.5, 0.5], [1.0, 1.0]])
    """
    index = checks.as_edge_index(edge_index)
    _check(index, query, key, value, edge_attr)
    ends.check_probability(dropout, "dropout")
    attr, lin = ends.edge_features(index, edge_attr, lin_edge, key)
    batched, dropout = query.dim() == 4, dropout if training else 0.0
    scale = max(1, query.size(-1)) ** -0.5 if scale is None else scale
    (*values, lin), seed = ends.prepared(index, dropout, query, key, value, attr, lin)
    if not batched:
        values[:3] = [value.unsqueeze(0) for value in values[:3]]
    edge_query = torch.einsum("bmhc,dhc->bmhd", values[0], lin)
    call: Any = product_attention.dot_forward
    if return_weights:
        call = product_attention.composed
    arguments = (seed, scale, dropout, active_backend())
    out, edge_out, weight = call(index, *values, edge_query, *arguments)
    if edge_attr is not None:
        out = out + torch.einsum("bmhd,dhc->bmhc", edge_out, lin)
    if not batched:
        out, weight = out.squeeze(0), weight.squeeze(0)
    return (out, weight) if return_weights else out


def _check(
    index: Tensor, query: Tensor, key: Tensor, value: Tensor, edge_attr: Tensor | None
) -> None:
    """Raises unless queries, keys and values fit each other."""
    ends.check_ends(index, query=query, key=key)
    checks.check_device(index, value=value)
    checks.check_floating(value, "value", (query.dim(),))
    if key.shape[:-1] != value.shape[:-1]:
        raise ValueError(
            f"key {list(key.shape)} and value {list(value.shape)} must agree but for the channels"
        )
    if edge_attr is not None and key.shape != value.shape:
        raise ValueError(
            f"value must have the shape of key {list(key.shape)} where edge_attr is given, got "
            f"{list(value.shape)}"
        )
