"""Single-layer attention: score, normalise, aggregate, in one kernel."""

from __future__ import annotations

import functools
from typing import Any, Literal, overload

import torch
from torch import Tensor

from graphkit.ops import checks
from graphkit.ops.autograd import attention
from graphkit.ops.autograd import self_attention as fused
from graphkit.ops.backends import active_backend
from graphkit.ops.dropout import draw_seed, no_seed


@overload
def gat_attention(
    edge_index: Tensor,
    x: Tensor,
    score_src: Tensor,
    score_dst: Tensor,
    negative_slope: float = ...,
    dropout: float = ...,
    training: bool = ...,
    return_weights: Literal[False] = ...,
    score_edge: Tensor | None = ...,
) -> Tensor: ...
@overload
def gat_attention(
    edge_index: Tensor,
    x: Tensor,
    score_src: Tensor,
    score_dst: Tensor,
    negative_slope: float = ...,
    dropout: float = ...,
    training: bool = ...,
    *,
    return_weights: Literal[True],
    score_edge: Tensor | None = ...,
) -> tuple[Tensor, Tensor]: ...
def gat_attention(
    edge_index: Tensor,
    x: Tensor,
    score_src: Tensor,
    score_dst: Tensor,
    negative_slope: float = 0.2,
    dropout: float = 0.0,
    training: bool = False,
    return_weights: bool = False,
    score_edge: Tensor | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    r"""Attention of the `"Graph Attention Networks" <https://arxiv.org/abs/1710.10903>`_ paper
    over given scores of both ends.

    .. math::
        \alpha_{e,h} &= \mathrm{softmax}_{e \to i} \left(
            \mathrm{LeakyReLU}(a^{src}_{j,h} + a^{dst}_{i,h} + a^{edge}_{e,h}) \right)

        y_{i,h} &= \sum_{e = (j \to i)} \alpha_{e,h} \, x_{j,h}

    Forward and backward recompute the weights instead of storing them: memory grows with
    :math:`(N + M) H C`, and by :math:`|\mathcal{E}| H` in the backward pass; time grows with
    :math:`|\mathcal{E}| H C`. The dropout mask comes from a counter and a seed that PyTorch's
    generator draws: it costs no memory, is the same in both passes, in every backend, and with
    ``return_weights``. Second derivatives store the weights; forward mode and the transforms
    of ``torch.func`` run in plain PyTorch, with memory for :math:`|\mathcal{E}| H C` values.

    Scores may be large: the largest of a target is subtracted before anything is rounded. A
    target whose scores are all :math:`-\infty` is treated as one without edges: it gets 0, and
    its gradients are 0.

    Args:
        edge_index (torch.Tensor or EdgeIndex): The edges, ``edge_index[0]`` the sources.
        x (torch.Tensor): Features of the sources.
        score_src (torch.Tensor): The part of the score that the source decides.
        score_dst (torch.Tensor): The part of the score that the target decides; its first
            dimension is the number of targets.
        negative_slope (float, optional): The slope of the LeakyReLU. (default: :obj:`0.2`)
        dropout (float, optional): The probability to drop a weight. (default: :obj:`0.0`)
        training (bool, optional): Whether dropout applies. (default: :obj:`False`)
        return_weights (bool, optional): Also return the weights after dropout, in the order of
            ``edge_index``. (default: :obj:`False`)
        score_edge (torch.Tensor, optional): The part of the score that the edge decides.
            (default: :obj:`None`)

    Shapes:
        - **input:**
          edges :math:`(2, |\mathcal{E}|)`, features :math:`(N, H, C)`, source scores
          :math:`(N, H)`, target scores :math:`(M, H)`, edge scores
          :math:`(|\mathcal{E}|, H)`; or all but the edges with a leading :math:`B`
        - **output:** :math:`(M, H, C)`, and weights :math:`(|\mathcal{E}|, H)` if asked for;
          or both with a leading :math:`B`

    Raises:
        IndexError: If an index is negative or not below the number of nodes.
        ValueError: If shapes, devices or options do not fit.
        TypeError: If dtypes do not fit.

    Example:
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 1, 0]])
        >>> x, score = torch.ones(3, 2, 4), torch.zeros(3, 2)
        >>> out, weight = gat_attention(edge_index, x, score, score, return_weights=True)
        >>> out.shape, weight.tolist()
        (torch.Size([3, 2, 4]), [[0.5, 0.5], [0.5, 0.5], [1.0, 1.0]])
    """
    index = checks.as_edge_index(edge_index)
    checks.check_floating(x, "x", (3, 4))
    _check(index, x, score_src, score_dst, score_edge)
    if not 0 <= dropout <= 1:
        raise ValueError(f"dropout must be a probability, got {dropout}")
    dropout = dropout if training else 0.0
    batched = x.dim() == 4
    values: list[Any] = [x, score_src, score_dst, score_edge]
    dtype = _promoted(values)
    if dtype is not None:
        values = [None if value is None else value.to(dtype) for value in values]
    if not batched:
        values = [None if value is None else value.unsqueeze(0) for value in values]
    seed = draw_seed(x.device) if dropout > 0 else no_seed(x.device)
    call: Any = attention.composed if return_weights else attention.gat_forward
    out, weight = call(index, *values, seed, negative_slope, dropout, active_backend())
    if not return_weights:
        return out if batched else out.squeeze(0)
    return (out, weight) if batched else (out.squeeze(0), weight.squeeze(0))


def self_attention(
    edge_index: Tensor,
    x: Tensor,
    att_src: Tensor,
    att_dst: Tensor,
    negative_slope: float,
    dropout: float,
) -> Tensor:
    """:func:`gat_attention` of one set of nodes, scored by a vector ``[1, H, C]`` per end.

    For layers that have checked what they hand in: only the indices are looked at.
    """
    if not 0 <= dropout <= 1:
        raise ValueError(f"dropout must be a probability, got {dropout}")
    seed = draw_seed(x.device) if dropout > 0 else no_seed(x.device)
    att_src, att_dst = att_src.to(x.dtype), att_dst.to(x.dtype)
    settings = (seed, negative_slope, dropout, active_backend())
    if x.dim() == 4:
        return fused.self_attention(edge_index, x, att_src, att_dst, *settings)[0]
    out = fused.self_attention(edge_index, x.unsqueeze(0), att_src, att_dst, *settings)[0]
    # The gradient of squeeze is a view, that of an index a copy among zeros.
    return out.squeeze(0)


def _promoted(values: list[Tensor | None]) -> torch.dtype | None:
    """The dtype that holds all the tensors, :obj:`None` if it is the dtype of each."""
    dtypes = {value.dtype for value in values if value is not None}
    return functools.reduce(torch.promote_types, dtypes) if len(dtypes) > 1 else None


def _check(
    index: Tensor, x: Tensor, score_src: Tensor, score_dst: Tensor, score_edge: Tensor | None
) -> None:
    """Raises unless the scores fit the features and each other."""
    if _fits(index, x, score_src, score_dst, score_edge):
        return
    # Something is wrong: the slow way finds out what, and says so.
    checks.check_device(index, x=x, score_src=score_src, score_dst=score_dst, score_edge=score_edge)
    rows = {"score_src": (score_src, x.size(-3)), "score_dst": (score_dst, None)}
    if score_edge is not None:
        rows["score_edge"] = (score_edge, index.size(1))
    for name, (score, count) in rows.items():
        checks.check_floating(score, name, (x.dim() - 1,))
        wanted = [*x.shape[:-3], score.size(-2) if count is None else count, x.size(-2)]
        if list(score.shape) != wanted:
            raise ValueError(
                f"{name} must have shape {wanted} to fit x {list(x.shape)} and "
                f"{index.size(1)} edges, got {list(score.shape)}"
            )


def _fits(
    index: Tensor, x: Tensor, score_src: Tensor, score_dst: Tensor, score_edge: Tensor | None
) -> bool:
    """Whether all is as it should be, at a glance: most calls are right."""
    scores = (score_src, score_dst) if score_edge is None else (score_src, score_dst, score_edge)
    for score in scores:
        if not isinstance(score, Tensor) or not score.dtype.is_floating_point:
            return False
        if score.dim() != x.dim() - 1 or score.device != index.device:
            return False
    *batch, _, heads, _ = x.shape
    return (
        x.device == index.device
        and score_src.shape == x.shape[:-1]
        and score_dst.shape == (*batch, score_dst.size(-2), heads)
        and (score_edge is None or score_edge.shape == (*batch, index.size(1), heads))
    )
