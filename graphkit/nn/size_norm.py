"""Graph-size norm in front of a batch norm."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphkit.ops import segment_reduce
from graphkit.ops.dtypes import is_half, widened

__all__ = ["RelativeSizeNorm"]


class RelativeSizeNorm(nn.Module):
    r"""Divides the features of each graph by the root of its size, measured by the mean size.

    .. math::
        \mathbf{x}^{\prime}_i = \sqrt{\bar{N} / N_{g(i)}} \; \mathbf{x}_i

    :class:`torch_geometric.nn.GraphSizeNorm` has :math:`\bar{N} = 1`.  A batch norm behind it
    takes any common factor out again, but for its :math:`\epsilon`: on one graph of 2,000 nodes
    the variance is 2,000 times smaller and drowns in it.  As in a batch norm, :math:`\bar{N}` is
    the mean of the batch while training, and a running mean of it otherwise.

    Args:
        momentum (float, optional): Weight of the newest batch in the running mean.
            (default: :obj:`0.1`)

    Shapes:
        - **input:** features :math:`(N, F)`, the graph of each node :math:`(N)`
        - **output:** features :math:`(N, F)`

    Example:
        >>> import torch
        >>> norm = RelativeSizeNorm()
        >>> norm(torch.ones(3, 1), torch.tensor([0, 0, 0])).flatten()
        tensor([1., 1., 1.])
        >>> norm(torch.ones(5, 1), torch.tensor([0, 0, 0, 0, 1])).flatten().round(decimals=2)
        tensor([0.7900, 0.7900, 0.7900, 0.7900, 1.5800])
    """

    running_size: Tensor

    def __init__(self, momentum: float = 0.1) -> None:
        super().__init__()
        self.momentum = momentum
        # Zero: no batch was seen yet.
        self.register_buffer("running_size", torch.zeros(()))

    def forward(self, x: Tensor, batch: Tensor) -> Tensor:
        """The features, rescaled graph by graph."""
        if is_half(x):
            return self.forward(widened(x), batch).to(x.dtype)
        graphs = int(batch[-1]) + 1 if batch.numel() else 0
        sizes = segment_reduce(x.new_ones(len(x), 1), batch, graphs)[:, 0]
        mean = sizes.sum() / max(graphs, 1)
        if self.training:
            with torch.no_grad():
                share = torch.where(self.running_size == 0, 1.0, self.momentum)
                self.running_size.lerp_(mean.to(self.running_size), share)
        else:
            mean = torch.where(self.running_size == 0, mean, self.running_size.to(x.dtype))
        scale = (mean / sizes.clamp(min=1)).sqrt()
        return x * scale[batch].unsqueeze(-1)
