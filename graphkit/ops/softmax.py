"""Normalisation over the edges of a target, or over any groups."""

from __future__ import annotations

from torch import Tensor

from graphkit.ops import checks
from graphkit.ops.autograd import softmax
from graphkit.ops.backends import active_backend


def edge_softmax(edge_index: Tensor, score: Tensor, num_nodes: int | None = None) -> Tensor:
    r"""Normalises scores over the edges that share a target.

    As in the `"Graph Attention Networks" <https://arxiv.org/abs/1710.10903>`_ paper:

    .. math::
        \alpha_{e,h} = \frac{\exp(s_{e,h})}{\sum_{e' \to i} \exp(s_{e',h})},
        \quad e \to i

    Memory and time grow with :math:`|\mathcal{E}| H`. Unlike
    :func:`torch_geometric.utils.softmax` nothing is added to the denominator, and a target
    whose scores are all :math:`-\infty` gets weights of 0 instead of NaN.

    Args:
        edge_index (torch.Tensor or EdgeIndex): The edges, ``edge_index[0]`` the sources.
        score (torch.Tensor): One score per edge, or per edge and head.
        num_nodes (int, optional): The number of targets; read from the largest index if it is
            not given, which costs a pass over the edges. (default: :obj:`None`)

    Shapes:
        - **input:** edges :math:`(2, |\mathcal{E}|)`, scores :math:`(|\mathcal{E}|)`,
          :math:`(|\mathcal{E}|, H)` or :math:`(B, |\mathcal{E}|, H)`
        - **output:** the shape of the scores

    Raises:
        IndexError: If an index is negative or not below the number of nodes.
        ValueError: If shapes or devices do not fit.
        TypeError: If dtypes do not fit.

    Example:
        >>> import torch
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 1, 0]])
        >>> edge_softmax(edge_index, torch.tensor([2.0, 2.0, 5.0]), num_nodes=3)
        tensor([0.5000, 0.5000, 1.0000])
    """
    index = checks.as_edge_index(edge_index)
    checks.check_floating(score, "score", (1, 2, 3))
    checks.check_device(index, score=score)
    checks.check_size(score, -1 if score.dim() == 1 else -2, index.size(1), "score", "edges")
    if num_nodes is None:
        num_nodes = int(index[1].max()) + 1 if index.size(1) else 0
    checks.check_count(num_nodes, "num_nodes")
    batch = score if score.dim() == 3 else score.reshape(1, index.size(1), _heads(score))
    alpha = softmax.softmax(index, 1, batch, num_nodes, active_backend())
    return alpha.view(score.shape)


def segment_softmax(score: Tensor, index: Tensor, num_segments: int) -> Tensor:
    r"""Normalises scores over the entries that share a group.

    .. math::
        \alpha_k = \frac{\exp(s_k)}{\sum_{l : g_l = g_k} \exp(s_l)}

    Groups need not be sorted and may be of several levels: give paths of length :math:`c` with
    the centre :math:`i` the group :math:`i \cdot L + c` (the
    `"SPAGAN" <https://arxiv.org/abs/2101.03464>`_ paper needs this). The sorted view is kept
    with ``index``, so pass the same tensor again and again. In a group whose scores are all
    :math:`-\infty` the weights are 0.

    Args:
        score (torch.Tensor): The scores, entries first.
        index (torch.Tensor): The group :math:`g_k` of each entry.
        num_segments (int): The number of groups.

    Shapes:
        - **input:** scores :math:`(E, *)`, groups :math:`(E)`
        - **output:** :math:`(E, *)`

    Raises:
        IndexError: If a group is negative or not below ``num_segments``.
        ValueError: If shapes or devices do not fit.
        TypeError: If dtypes do not fit.

    Example:
        >>> import torch
        >>> segment_softmax(torch.zeros(4), torch.tensor([1, 0, 1, 1]), 2)
        tensor([0.3333, 1.0000, 0.3333, 0.3333])
    """
    index = checks.as_index(index)
    batch = checks.as_entries(score, "score", index, num_segments)
    alpha = softmax.softmax(index, -1, batch, num_segments, active_backend())
    return alpha.view(score.shape)


def _heads(score: Tensor) -> int:
    return 1 if score.dim() == 1 else score.size(1)
