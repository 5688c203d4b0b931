"""``GINConv`` on the kernel of sums."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch_geometric.nn import GINConv

from graphkit.catalog import method
from graphkit.nn.conv.fused.neighbour_sum import NeighbourSum

__all__ = ["FusedGINConv"]


@method(
    paper="arXiv:1810.00826",
    title="How Powerful are Graph Neural Networks?",
    authors="Keyulu Xu, Weihua Hu, Jure Leskovec, Stefanie Jegelka",
    venue="ICLR 2019",
    year=2019,
    code="https://github.com/weihua916/powerful-gnns",
    licence="MIT",
    takes="node features and edges",
    gives="node features",
    deviations=["as PyG's GINConv"],
    verified_by="tests/nn/conv/fused/test_gin_conv.py",
)
class FusedGINConv(NeighbourSum, GINConv, fast=True):
    r"""The operator of the `"How Powerful are Graph Neural Networks?"
    <https://arxiv.org/abs/1810.00826>`_ paper: :class:`torch_geometric.nn.GINConv` in less time
    and memory.

    .. math::
        \mathbf{x}^{\prime}_i = h_{\mathbf{\Theta}} \left( (1 + \epsilon) \mathbf{x}_i +
        \sum_{j \in \mathcal{N}(i)} \mathbf{x}_j \right)

    Parameters, names and values are those of ``GINConv``.  Memory beside the features grows with
    :math:`N F`, never with :math:`|\mathcal{E}| F`.  Sparse adjacencies, other aggregations and
    whatever :class:`~graphkit.nn.fast_path.FastPath` lists go through ``GINConv`` itself.

    Args:
        nn (torch.nn.Module): The network :math:`h_{\mathbf{\Theta}}`.
        eps (float, optional): The first :math:`\epsilon`. (default: :obj:`0.`)
        train_eps (bool, optional): Learns :math:`\epsilon`. (default: :obj:`False`)
        **kwargs (optional): Arguments of :class:`torch_geometric.nn.MessagePassing`.

    Shapes:
        - **input:** features :math:`(N, F_{in})`, a pair of them for bipartite graphs, or a static
          batch :math:`(B, N, F_{in})`; edges :math:`(2, |\mathcal{E}|)`
        - **output:** :math:`(N, F_{out})`, with a leading :math:`B` for a batch

    Raises:
        IndexError: If an index is negative or not below the number of nodes.
        ValueError: If ``size`` does not fit the features.

    Example:
        >>> import torch
        >>> conv = FusedGINConv(torch.nn.Linear(16, 8))
        >>> conv(torch.randn(3, 16), torch.tensor([[0, 1, 2], [1, 2, 0]])).shape
        torch.Size([3, 8])
    """

    def forward(
        self,
        x: Tensor | tuple[Tensor, Tensor | None],
        edge_index: Any,
        size: tuple[int, int] | None = None,
    ) -> Tensor:
        """Runs the layer; arguments as those of :class:`torch_geometric.nn.GINConv`."""
        pair = (x, x) if isinstance(x, Tensor) else x
        if not self.can_fuse(edge_index, *pair):
            return super().forward(x, edge_index, size)
        out = self.neighbours(edge_index, pair, size)
        if pair[1] is not None:
            out = out + (1 + self.eps) * pair[1]
        return self.nn(out)
