"""ST-GCN++: a learned graph and many views of time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.data.skeleton_graph import SkeletonGraph
from graphkit.nn.skeletons.frame_branches import FrameBranches
from graphkit.nn.skeletons.joint_conv import ConvNorm, FrameConv, join, split
from graphkit.nn.skeletons.joint_mixing import JointMixing
from graphkit.nn.skeletons.model import SkeletonModel

__all__ = ["STGCNpp", "STGCNppBlock"]


class STGCNppBlock(nn.Module):
    r"""One layer of ST-GCN++.

    Args:
        in_channels (int): Width of the input.
        out_channels (int): Width of the output, at least 6.
        adjacency (torch.Tensor): Where the learned graphs start, :math:`(K, V, V)`.
        stride (int, optional): Every how many frames. (default: :obj:`1`)
        residual (bool, optional): Whether there is an outer shortcut. (default: :obj:`True`)

    Shapes:
        - **input:** :math:`(N, C, V, T)`, channels last
        - **output:** :math:`(N, C', V, \lceil T / s \rceil)`
    """

    begin: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        adjacency: Tensor,
        stride: int = 1,
        residual: bool = True,
    ) -> None:
        super().__init__()
        self.residual = residual
        self.register_buffer("begin", adjacency.clone(), persistent=False)
        self.adjacency = nn.Parameter(adjacency.clone())
        self.conv = FrameConv(in_channels, len(adjacency) * out_channels)
        self.mixing = JointMixing(torch.ones_like(adjacency[0], dtype=torch.bool))
        self.norm = nn.BatchNorm2d(out_channels)
        wider = in_channels != out_channels
        self.down = ConvNorm(in_channels, out_channels) if wider else None
        self.branches = FrameBranches(out_channels, 3, (1, 2, 3, 4), stride)
        self.merge = ConvNorm(out_channels, out_channels)
        changed = residual and (wider or stride > 1)
        self.shortcut = ConvNorm(in_channels, out_channels, stride=stride) if changed else None

    def reset_parameters(self) -> None:
        """Draws all parameters anew; the graphs start where they did."""
        self.adjacency.data.copy_(self.begin)
        parts = (self.conv, self.norm, self.down, self.branches, self.merge, self.shortcut)
        for part in parts:
            if part is not None:
                part.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        h = self.mixing(split(self.conv(x), len(self.adjacency)), self.adjacency, total=True)
        h = self.norm(join(h.unsqueeze(1), x.size(3)))
        h = (h + (x if self.down is None else self.down(x))).relu_()
        h = self.merge(self.branches(h).relu_())
        if self.residual:
            h = h + (x if self.shortcut is None else self.shortcut(x))
        return h.relu_()


@method(
    paper="arXiv:2205.09443",
    title="PYSKL: Towards Good Practices for Skeleton Action Recognition",
    authors="Haodong Duan, Jiaqi Wang, Kai Chen, Dahua Lin",
    venue="ACM MM 2022",
    year=2022,
    code="https://github.com/kennymckormick/pyskl",
    licence="Apache-2.0",
    takes="clips of skeletons, or graphs with a node per joint and features over time",
    gives="scores per clip",
    deviations=["weights start as in CTR-GCN: Kaiming's by fan-out, without biases"],
    verified_by="tests/nn/models/test_stgcnpp.py",
)
class STGCNpp(SkeletonModel):
    r"""ST-GCN++ of the `"PYSKL: Towards Good Practices for Skeleton Action Recognition"
    <https://arxiv.org/abs/2205.09443>`_ paper: ST-GCN with learned graphs, a shortcut around
    them, and six views of time.

    .. math::
        \mathbf{H} &= \mathrm{ReLU} \big( \mathrm{BN} \big( \textstyle\sum_k \mathbf{W}_k
        \mathbf{X} \mathbf{A}_k \big) + \mathbf{X} \big) \\
        \mathbf{X}^{\prime} &= \mathrm{ReLU} \big( \mathrm{BN} \big( \mathbf{W} \, \mathrm{ReLU}
        \, \mathrm{BN} \, [\mathrm{conv}_{1} \Vert \dots \Vert \mathrm{conv}_{4} \Vert \max \Vert
        \mathbf{W}_p] (\mathbf{H}) \big) + \mathbf{X} \big)

    All entries of :math:`\mathbf{A}_k` are learned; they start at the skeleton. Convolutions
    see three frames, 1 to 4 frames apart. Frames are halved where the width doubles. Time and
    memory grow with :math:`N T V C^2`.

    Args:
        in_channels (int): Numbers per joint and frame.
        num_classes (int): Number of scores.
        graph (SkeletonGraph): The skeleton, with :obj:`strategy="spatial"` in the paper.
        hidden_channels (int, optional): Width of the first stage, at least 6; each further
            one doubles it. (default: :obj:`64`)
        num_layers (sequence of int, optional): Blocks per stage. (default: :obj:`(4, 3, 3)`)
        num_person (int, optional): Most persons in a graph; clips may have any number.
            (default: :obj:`2`)
        dropout (float, optional): In front of the classifier. (default: :obj:`0.0`)

    Shapes:
        - **input:** clips :math:`(B, C, T, V, M)`, or :class:`~torch_geometric.data.Data` with
          ``x`` :math:`(B M V, C, T)`
        - **output:** :math:`(B, K)`

    Raises:
        ValueError: If an option or the shape of an input is wrong, or numbers are not finite.

    Example:
        >>> import torch
        >>> from graphkit.nn import STGCNpp, SkeletonGraph
        >>> model = STGCNpp(3, 10, SkeletonGraph("coco-17"), hidden_channels=8, num_layers=(1, 1))
        >>> model(torch.rand(2, 3, 16, 17, 1)).shape
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
        dropout: float = 0.0,
    ) -> None:
        sizes = (hidden_channels, num_layers, num_person, dropout)
        super().__init__(in_channels, num_classes, graph, *sizes, norm="VC")
        for width, wider, stride in self.steps():
            residual = len(self.blocks) > 0
            self.blocks.append(STGCNppBlock(width, wider, graph.adjacency, stride, residual))
