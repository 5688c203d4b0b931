"""ST-GCN: the first graph convolutional network on skeletons."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.data.skeleton_graph import SkeletonGraph
from graphkit.nn.skeletons.joint_conv import ConvNorm, FrameConv, join, split
from graphkit.nn.skeletons.joint_mixing import JointMixing
from graphkit.nn.skeletons.model import SkeletonModel

__all__ = ["STGCN", "STGCNBlock"]


class STGCNBlock(nn.Module):
    r"""One layer of ST-GCN: neighbours in each subset, then nine frames, then a shortcut.

    Args:
        in_channels (int): Width of the input.
        out_channels (int): Width of the output.
        adjacency (torch.Tensor): The subsets :math:`(K, V, V)`.
        stride (int, optional): Every how many frames. (default: :obj:`1`)
        residual (bool, optional): Whether there is a shortcut. (default: :obj:`True`)
        dropout (float, optional): Behind the frames. (default: :obj:`0.0`)

    Shapes:
        - **input:** :math:`(N, C, V, T)`, channels last
        - **output:** :math:`(N, C', V, \lceil T / s \rceil)`
    """

    fixed: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        adjacency: Tensor,
        stride: int = 1,
        residual: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.residual, self.dropout = residual, dropout
        self.register_buffer("fixed", adjacency.clone())
        self.importance = nn.Parameter(torch.ones_like(adjacency))
        self.conv = FrameConv(in_channels, len(adjacency) * out_channels)
        self.mixing = JointMixing((adjacency != 0).any(dim=0))
        self.norm = nn.BatchNorm2d(out_channels)
        self.frames = ConvNorm(out_channels, out_channels, 9, stride)
        changed = residual and (in_channels != out_channels or stride > 1)
        self.shortcut = ConvNorm(in_channels, out_channels, stride=stride) if changed else None

    def reset_parameters(self) -> None:
        """Draws all parameters anew."""
        nn.init.ones_(self.importance)
        for part in (self.conv, self.norm, self.frames, self.shortcut):
            if part is not None:
                part.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        adjacency = self.fixed * self.importance
        h = self.mixing(split(self.conv(x), len(adjacency)), adjacency, total=True)
        h = self.frames(self.norm(join(h.unsqueeze(1), x.size(3))).relu_())
        h = F.dropout(h, self.dropout, self.training)
        if self.residual:
            h = h + (x if self.shortcut is None else self.shortcut(x))
        return h.relu_()


@method(
    paper="arXiv:1801.07455",
    title=("Spatial Temporal Graph Convolutional Networks for Skeleton-Based Action Recognition"),
    authors="Sijie Yan, Yuanjun Xiong, Dahua Lin",
    venue="AAAI 2018",
    year=2018,
    code="https://github.com/yysijie/st-gcn",
    licence="BSD-2-Clause",
    takes="clips of skeletons, or graphs with a node per joint and features over time",
    gives="scores per clip",
    deviations=[
        "weights start as in its later rivals: Kaiming's by fan-out, without biases",
    ],
    verified_by="tests/nn/models/test_stgcn.py",
)
class STGCN(SkeletonModel):
    r"""The network of the `"Spatial Temporal Graph Convolutional Networks for Skeleton-Based
    Action Recognition" <https://arxiv.org/abs/1801.07455>`_ paper.

    .. math::
        \mathbf{X}^{\prime} = \mathrm{ReLU} \big( \mathrm{TCN}_9 \big( \mathrm{ReLU} \,
        \mathrm{BN} \sum_k \mathbf{W}_k \mathbf{X} (\mathbf{A}_k \odot \mathbf{M}_k) \big) +
        \mathbf{X} \big)

    with the subsets :math:`\mathbf{A}_k` of neighbours and learned weights of edges
    :math:`\mathbf{M}_k`. Frames are halved where the width doubles. Time and memory grow with
    :math:`N T V C^2`.

    Args:
        in_channels (int): Numbers per joint and frame.
        num_classes (int): Number of scores.
        graph (SkeletonGraph): The skeleton; the paper's best is
            :obj:`strategy="stgcn_spatial"`.
        hidden_channels (int, optional): Width of the first stage; each further one doubles
            it. (default: :obj:`64`)
        num_layers (sequence of int, optional): Blocks per stage. (default: :obj:`(4, 3, 3)`)
        num_person (int, optional): Most persons in a graph; clips may have any number.
            (default: :obj:`2`)
        dropout (float, optional): In every block but the first. (default: :obj:`0.5`)

    Shapes:
        - **input:** clips :math:`(B, C, T, V, M)`, or :class:`~torch_geometric.data.Data` with
          ``x`` :math:`(B M V, C, T)`
        - **output:** :math:`(B, K)`

    Raises:
        ValueError: If an option or the shape of an input is wrong, or numbers are not finite.

    Example:
        >>> import torch
        >>> from graphkit.nn import STGCN, SkeletonGraph
        >>> graph = SkeletonGraph("openpose-18", strategy="stgcn_spatial")
        >>> model = STGCN(3, 10, graph, hidden_channels=8, num_layers=(1, 1))
        >>> model(torch.rand(2, 3, 16, 18, 1)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        graph: SkeletonGraph,
        hidden_channels: int = 64,
        num_layers: tuple[int, ...] | list[int] = (4, 3, 3),
        num_person: int = 2,
        dropout: float = 0.5,
    ) -> None:
        sizes = (hidden_channels, num_layers, num_person)
        super().__init__(in_channels, num_classes, graph, *sizes, dropout=0.0, norm="VC")
        for width, wider, stride in self.steps():
            first = not self.blocks
            drop = 0.0 if first else dropout
            block = STGCNBlock(width, wider, graph.adjacency, stride, not first, drop)
            self.blocks.append(block)
