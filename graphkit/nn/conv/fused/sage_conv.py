"""``SAGEConv`` on the kernel of sums."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor
from torch_geometric.nn import SAGEConv
from torch_geometric.nn.aggr import MeanAggregation, SumAggregation

from graphkit.catalog import method
from graphkit.nn.conv.fused.neighbour_sum import NeighbourSum
from graphkit.nn.edges import by_flow
from graphkit.nn.linear_pair import linear_pair
from graphkit.nn.neighbour_pair import neighbour_pair
from graphkit.nn.one_step import may_be_one_step
from graphkit.ops.checks import as_edge_index
from graphkit.precision import normalize

__all__ = ["FusedSAGEConv"]


@method(
    paper="arXiv:1706.02216",
    title="Inductive Representation Learning on Large Graphs",
    authors="William L. Hamilton, Rex Ying, Jure Leskovec",
    venue="NeurIPS 2017",
    year=2017,
    code="https://github.com/williamleif/GraphSAGE",
    licence="MIT",
    takes="node features and edges",
    gives="node features",
    deviations=["as PyG's SAGEConv"],
    verified_by="tests/nn/conv/fused/test_sage_conv.py",
)
class FusedSAGEConv(NeighbourSum, SAGEConv, fast=True):
    r"""The operator of the `"Inductive Representation Learning on Large Graphs"
    <https://arxiv.org/abs/1706.02216>`_ paper: :class:`torch_geometric.nn.SAGEConv` in less time
    and memory.

    .. math::
        \mathbf{x}^{\prime}_i = \mathbf{W}_1 \mathbf{x}_i + \mathbf{W}_2 \cdot
        \mathrm{mean}_{j \in \mathcal{N}(i)} \mathbf{x}_j

    Parameters, names and values are those of ``SAGEConv``.  Means and sums run in the kernel:
    memory beside the features grows with :math:`N F`, never with :math:`|\mathcal{E}| F`.  Sparse
    adjacencies, other aggregations and whatever :class:`~graphkit.nn.fast_path.FastPath` lists go
    through ``SAGEConv`` itself.

    Args:
        in_channels (int or tuple): Size of each input, or sizes of sources and targets;
            :obj:`-1` takes it from the first input.
        out_channels (int): Size of each output.
        aggr (str or Aggregation, optional): The aggregation. (default: :obj:`"mean"`)
        normalize (bool, optional): Scales outputs to unit length. (default: :obj:`False`)
        root_weight (bool, optional): Adds a learned map of the targets' features.
            (default: :obj:`True`)
        project (bool, optional): A linear map and ReLU before the aggregation.
            (default: :obj:`False`)
        bias (bool, optional): Adds a learned bias. (default: :obj:`True`)
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
        >>> conv = FusedSAGEConv(16, 8)
        >>> conv(torch.randn(3, 16), torch.tensor([[0, 1, 2], [1, 2, 0]])).shape
        torch.Size([3, 8])
    """

    aggregations: ClassVar[tuple[type, ...]] = (MeanAggregation, SumAggregation)

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        aggr: Any = "mean",
        normalize: bool = False,
        root_weight: bool = True,
        project: bool = False,
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            in_channels, out_channels, aggr, normalize, root_weight, project, bias, **kwargs
        )

    def forward(
        self,
        x: Tensor | tuple[Tensor, Tensor | None],
        edge_index: Any,
        size: tuple[int, int] | None = None,
    ) -> Tensor:
        """Runs the layer; arguments as those of :class:`torch_geometric.nn.SAGEConv`."""
        pair = (x, x) if isinstance(x, Tensor) else x
        if not self.can_fuse(edge_index, *pair):
            return super().forward(x, edge_index, size)
        x_src, x_dst = pair
        index = as_edge_index(edge_index)
        if x_src is x_dst and size is None and self.is_one_step(x_src):
            return self.in_one_step(x_src, index)
        if self.project:
            x_src = self.lin(x_src).relu()
        out = self.neighbours(index, (x_src, x_dst), size)
        if self.root_weight and x_dst is not None:
            out = linear_pair(self.lin_l, out, self.lin_r, x_dst)
        else:
            out = self.lin_l(out)
        return normalize(out) if self.normalize else out

    def is_one_step(self, x: Any) -> bool:
        """Whether the layer is two linear maps and a sum, with nothing in between."""
        if not self.root_weight or self.project or self.normalize:
            return False
        left, right = self._modules.get("lin_l"), self._modules.get("lin_r")
        if left is None or right is None or right._parameters.get("bias", right) is not None:
            return False
        return may_be_one_step(x, (left, right))

    def in_one_step(self, x: Tensor, index: Tensor) -> Tensor:
        """All of the layer as one step that PyTorch differentiates."""
        maps: Any = self._modules
        left, right = maps["lin_l"]._parameters, maps["lin_r"]._parameters
        edges, mean = by_flow(index, self.flow), type(maps["aggr_module"]) is MeanAggregation
        return neighbour_pair(edges, x, left["weight"], left["bias"], right["weight"], mean)
