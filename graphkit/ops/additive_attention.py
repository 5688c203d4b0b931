"""Attention whose scores are made of the leaked sum of both ends, in one kernel."""

from __future__ import annotations

from typing import Any, Literal, overload

from torch import Tensor

from graphkit.ops import checks, ends
from graphkit.ops.autograd import additive_attention
from graphkit.ops.backends import active_backend


@overload
def gatv2_attention(
    edge_index: Tensor,
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    negative_slope: float = ...,
    dropout: float = ...,
    training: bool = ...,
    return_weights: Literal[False] = ...,
    edge_attr: Tensor | None = ...,
    lin_edge: Tensor | None = ...,
) -> Tensor: ...
@overload
def gatv2_attention(
    edge_index: Tensor,
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    negative_slope: float = ...,
    dropout: float = ...,
    training: bool = ...,
    *,
    return_weights: Literal[True],
    edge_attr: Tensor | None = ...,
    lin_edge: Tensor | None = ...,
) -> tuple[Tensor, Tensor]: ...
def gatv2_attention(
    edge_index: Tensor,
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    negative_slope: float = 0.2,
    dropout: float = 0.0,
    training: bool = False,
    return_weights: bool = False,
    edge_attr: Tensor | None = None,
    lin_edge: Tensor | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    r"""Attention of the `"How Attentive are Graph Attention Networks?"
    <https://arxiv.org/abs/2105.14491>`_ paper over given features of both ends.

    .. math::
        \alpha_{e,h} &= \mathrm{softmax}_{e \to i} \left( \mathbf{a}_h^{\top} \,
            \mathrm{LeakyReLU}(\mathbf{x}^{src}_{j,h} + \mathbf{x}^{dst}_{i,h} +
            \mathbf{W}_h \mathbf{f}_e) \right)

        \mathbf{y}_{i,h} &= \sum_{e = (j \to i)} \alpha_{e,h} \, \mathbf{x}^{src}_{j,h}

    On a CPU forward and backward compute scores and weights anew instead of storing them: memory
    grows with :math:`(N + M) H C`, time with :math:`|\mathcal{E}| H C (1 + D)`. Edge features
    are projected inside the kernel, 32 edges at a time. Other backends are composed of their own
    sums, products and softmax, and of PyTorch on a bounded number of edges at a time: memory
    grows with :math:`(N + M) H C + |\mathcal{E}| H`. So it does with ``return_weights`` and
    for second derivatives; only third derivatives store :math:`|\mathcal{E}| H C` values. The
    dropout mask is as in :func:`graphkit.ops.gat_attention`.

    Args:
        edge_index (torch.Tensor or EdgeIndex): The edges, ``edge_index[0]`` the sources.
        x_src (torch.Tensor): Features of the sources, which are also summed.
        x_dst (torch.Tensor): Features of the targets.
        att (torch.Tensor): The vector :math:`\mathbf{a}_h` of each head.
        negative_slope (float, optional): The slope of the LeakyReLU. (default: :obj:`0.2`)
        dropout (float, optional): The probability to drop a weight. (default: :obj:`0.0`)
        training (bool, optional): Whether dropout applies. (default: :obj:`False`)
        return_weights (bool, optional): Also return the weights after dropout, in the order of
            ``edge_index``. (default: :obj:`False`)
        edge_attr (torch.Tensor, optional): Features :math:`\mathbf{f}_e` of the edges, the same
            for every graph of a batch. (default: :obj:`None`)
        lin_edge (torch.Tensor, optional): The matrix :math:`\mathbf{W}` that projects them,
            needed with ``edge_attr``. (default: :obj:`None`)

    Shapes:
        - **input:** edges :math:`(2, |\mathcal{E}|)`, source features :math:`(N, H, C)`,
          target features :math:`(M, H, C)`, or both with a leading :math:`B`; vectors
          :math:`(H, C)`, edge features :math:`(|\mathcal{E}|, D)`, matrix :math:`(H C, D)`
        - **output:** :math:`(M, H, C)`, and weights :math:`(|\mathcal{E}|, H)` if asked for;
          or both with a leading :math:`B`

    Raises:
        IndexError: If an index is negative or not below the number of nodes.
        ValueError: If shapes, devices or options do not fit.
        TypeError: If dtypes do not fit.

    Example:
        >>> import torch
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 1, 0]])
        >>> x, att = torch.ones(3, 2, 4), torch.ones(2, 4)
        >>> out, weight = gatv2_attention(edge_index, x, x, att, return_weights=True)
        >>> out.shape, weight.tolist()
        (torch.Size([3, 2, 4]), [[0.5, 0.5], [0.5, 0.5], [1.0, 1.0]])
    """
    index = checks.as_edge_index(edge_index)
    ends.check_ends(index, x_src=x_src, x_dst=x_dst)
    ends.check_shape(index, "att", att, list(x_src.shape[-2:]), f"x_src {list(x_src.shape)}")
    ends.check_probability(dropout, "dropout")
    attr, lin = ends.edge_features(index, edge_attr, lin_edge, x_src)
    batched, dropout = x_src.dim() == 4, dropout if training else 0.0
    values, seed = ends.prepared(index, dropout, x_src, x_dst, att, attr, lin)
    if not batched:
        values[:2] = [value.unsqueeze(0) for value in values[:2]]
    call: Any = additive_attention.gatv2_forward
    if return_weights:
        call = additive_attention.composed
    out, weight = call(index, *values, seed, negative_slope, dropout, active_backend())
    if not batched:
        out, weight = out.squeeze(0), weight.squeeze(0)
    return (out, weight) if return_weights else out
