"""How alike the two ends of every edge are, without a tensor of edges times channels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric import EdgeIndex

from graphkit.distill.loss import check_edges
from graphkit.distill.losses.manhattan import manhattan
from graphkit.ops import gather, sddmm

KERNELS = ("euclidean", "linear", "polynomial", "rbf", "laplacian")
BOUNDED = ("rbf", "laplacian")


def edge_similarity(
    x: Tensor,
    edge_index: Tensor,
    kernel: str = "rbf",
    bandwidth: float | str = "median",
    degree: int = 2,
    offset: float = 0.0,
) -> Tensor:
    r"""The similarity of both ends of every edge, in float32 or better: the kernels of the
    `"Distilling Knowledge from Graph Convolutional Networks" <https://arxiv.org/abs/2003.10477>`_
    paper, and the Laplacian one of its code.

    .. math::
        \begin{aligned}
        \text{euclidean} &: \lVert x_j - x_i \rVert_2^2 &
        \text{rbf} &: \exp(-\lVert x_j - x_i \rVert_2^2 / 2 \sigma^2) \\
        \text{linear} &: \langle x_j, x_i \rangle &
        \text{laplacian} &: \exp(-\lVert x_j - x_i \rVert_1 / \sigma) \\
        \text{polynomial} &: (\langle x_j, x_i \rangle + c)^d
        \end{aligned}

    Squared distances come from dot products of centred features, so memory grows with
    :math:`N C + |\mathcal{E}|`. Features of any further dimensions (heads) are flattened.

    Args:
        x (torch.Tensor): Node features.
        edge_index (torch.Tensor or EdgeIndex): The edges.
        kernel (str, optional): One of the five above. (default: :obj:`"rbf"`)
        bandwidth (float or str, optional): :math:`\sigma`; ``"median"`` takes the median
            length of the edges that are no self loops, as a constant. (default: ``"median"``)
        degree (int, optional): :math:`d`. (default: :obj:`2`)
        offset (float, optional): :math:`c`. (default: :obj:`0.0`)

    Shapes:
        - **input:** features :math:`(N, *)`, edges :math:`(2, |\mathcal{E}|)`
        - **output:** :math:`(|\mathcal{E}|)`

    Raises:
        ValueError: If the kernel is unknown or shapes do not fit.
        IndexError: If an index is not a row of ``x``.

    Example:
        >>> import torch
        >>> x = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
        >>> edge_similarity(x, torch.tensor([[0, 1], [1, 1]]), "euclidean")
        tensor([25.,  0.])
    """
    if isinstance(edge_index, EdgeIndex):
        edge_index = edge_index.as_tensor()
    x = x.flatten(1)
    x = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    if kernel in ("linear", "polynomial"):
        dot = sddmm(edge_index, x, x)
        return dot if kernel == "linear" else (dot + offset) ** degree
    if kernel == "laplacian":
        check_edges(edge_index, x.size(0))
        length = manhattan(x, edge_index)
        return torch.exp(-length / spread(length, edge_index, bandwidth))
    if kernel not in KERNELS:
        raise ValueError(f"'kernel' must be one of {list(KERNELS)}, got {kernel!r}")
    square = squared_length(x, edge_index)
    if kernel == "euclidean":
        return square
    if bandwidth == "median":
        return torch.exp(-square / (2 * spread(square, edge_index, bandwidth)))
    return torch.exp(-square / (2 * float(bandwidth) ** 2))


def squared_length(x: Tensor, edge_index: Tensor) -> Tensor:
    r"""The squared Euclidean lengths of all edges, from norms and dot products.

    Args:
        x (torch.Tensor): Node features.
        edge_index (torch.Tensor): The edges.

    Shapes:
        - **input:** features :math:`(N, C)`, edges :math:`(2, |\mathcal{E}|)`
        - **output:** :math:`(|\mathcal{E}|)`
    """
    if x.size(0):
        x = x - x.detach().mean(dim=0)
    norm = x.square().sum(dim=1)
    ends = gather(norm, edge_index[0]) + gather(norm, edge_index[1])
    return (ends - 2 * sddmm(edge_index, x, x)).clamp(min=0)


@torch.no_grad()
def spread(length: Tensor, edge_index: Tensor, bandwidth: float | str) -> Tensor | float:
    """The bandwidth as it is, or the median length of edges between two nodes, 1 without any."""
    if bandwidth != "median":
        return float(bandwidth)
    between = length[edge_index[0] != edge_index[1]]
    median = between.median() if between.numel() else length.new_ones(())
    return torch.where(median > 0, median, 1.0)
