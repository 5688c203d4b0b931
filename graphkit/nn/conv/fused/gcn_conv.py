"""``GCNConv`` on the kernel of weighted sums."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import GCNConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from graphkit.catalog import method
from graphkit.nn.conv.fused.neighbour_sum import NeighbourSum, summed
from graphkit.nn.edges import by_flow
from graphkit.nn.sparse_features import projected
from graphkit.ops.checks import as_edge_index, check_tensors
from graphkit.ops.layout.memo import remember

__all__ = ["FusedGCNConv"]


@method(
    paper="arXiv:1609.02907",
    title="Semi-Supervised Classification with Graph Convolutional Networks",
    authors="Thomas N. Kipf, Max Welling",
    venue="ICLR 2017",
    year=2017,
    code="https://github.com/tkipf/gcn",
    licence="MIT",
    takes="node features, edges and, if wanted, a weight per edge",
    gives="node features",
    deviations=["as PyG's GCNConv"],
    verified_by="tests/nn/conv/fused/test_gcn_conv.py",
)
class FusedGCNConv(NeighbourSum, GCNConv, fast=True):
    r"""The operator of the `"Semi-Supervised Classification with Graph Convolutional Networks"
    <https://arxiv.org/abs/1609.02907>`_ paper: :class:`torch_geometric.nn.GCNConv` in less time
    and memory.

    .. math::
        \mathbf{X}^{\prime} = \mathbf{\hat{D}}^{-1/2} \mathbf{\hat{A}} \mathbf{\hat{D}}^{-1/2}
        \mathbf{X} \mathbf{\Theta}

    Parameters, names and values are those of ``GCNConv``.  Without edge weights the normalised
    edges are kept with :obj:`edge_index`, so that they cost nothing from the second call on, with
    or without :obj:`cached`.  Memory beside the features grows with :math:`N F + |\mathcal{E}|`,
    never with :math:`|\mathcal{E}| F`.  Sparse adjacencies, compiled code that adds loops, and
    whatever :class:`~graphkit.nn.fast_path.FastPath` lists go through ``GCNConv`` itself.

    Args:
        in_channels (int): Size of each input; :obj:`-1` takes it from the first input.
        out_channels (int): Size of each output.
        improved (bool, optional): Loops of weight 2. (default: :obj:`False`)
        cached (bool, optional): Keeps the first normalised graph for all calls.
            (default: :obj:`False`)
        add_self_loops (bool, optional): Adds loops where there are none.
            (default: that of :obj:`normalize`)
        normalize (bool, optional): Normalises by degrees. (default: :obj:`True`)
        bias (bool, optional): Adds a learned bias. (default: :obj:`True`)
        **kwargs (optional): Arguments of :class:`torch_geometric.nn.MessagePassing`.

    Shapes:
        - **input:** features :math:`(N, F_{in})`, or a static batch :math:`(B, N, F_{in})`; edges
          :math:`(2, |\mathcal{E}|)`; edge weights :math:`(|\mathcal{E}|)` *(optional)*
        - **output:** :math:`(N, F_{out})`, with a leading :math:`B` for a batch

    Raises:
        IndexError: If an index is negative or not below the number of nodes.
        ValueError: If the input is a pair, or there is not one weight per edge.

    Example:
        >>> import torch
        >>> conv = FusedGCNConv(16, 8)
        >>> conv(torch.randn(3, 16), torch.tensor([[0, 1, 2], [1, 2, 0]])).shape
        torch.Size([3, 8])
    """

    first: tuple[Tensor, Tensor] | None = None
    """The first normalised graph, for :obj:`cached`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        improved: bool = False,
        cached: bool = False,
        add_self_loops: bool | None = None,
        normalize: bool = True,
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            in_channels, out_channels, improved, cached, add_self_loops, normalize, bias, **kwargs
        )

    def reset_parameters(self) -> None:
        """Draws the parameters anew, and forgets the first graph."""
        super().reset_parameters()
        self.first = None

    def forward(self, x: Tensor, edge_index: Any, edge_weight: Tensor | None = None) -> Tensor:
        """Runs the layer; arguments as those of :class:`torch_geometric.nn.GCNConv`."""
        # A pair is refused below, in PyG's words.
        one = None if isinstance(x, tuple | list) else x
        check_tensors(x=one, edge_weight=edge_weight)
        # Sparse features are dense behind the linear map, which comes before the sums.
        dense = () if isinstance(x, Tensor) and x.layout == torch.sparse_csr else (x,)
        compiled = torch.compiler.is_compiling() and self.add_self_loops
        if compiled or not self.can_fuse(edge_index, *dense):
            return super().forward(x, edge_index, edge_weight)
        edges, weight = as_edge_index(edge_index), edge_weight
        if self.normalize:
            edges, weight = self.normalized(edges, weight, x)
        hidden = projected(self.lin, x)
        if weight is not None:
            weight = weight.view(-1)
        out = summed(by_flow(edges, self.flow), hidden, x.size(-2), weight)
        return out if self.bias is None else out + self.bias

    def normalized(self, edges: Tensor, weight: Tensor | None, x: Tensor) -> tuple[Tensor, Tensor]:
        """The edges with loops and the weight of each, kept where nothing learns through them."""
        if self.cached and self.first is not None:
            return self.first
        settings = (x.size(-2), self.improved, self.add_self_loops, self.flow, x.dtype)

        def build() -> tuple[Tensor, Tensor]:
            index, weights = gcn_norm(edges, weight, *settings)
            # What is kept with the edges must not hold on to them.
            return index if self.add_self_loops else index.clone(), weights

        if weight is None:
            index, weights = remember(edges, ("gcn_norm", *settings), build)
        else:
            index, weights = build()
        if self.cached:
            self.first = index, weights
        return index, weights
