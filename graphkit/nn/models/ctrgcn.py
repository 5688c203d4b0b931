"""CTR-GCN: a graph of its own for every channel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.data.skeleton_graph import SkeletonGraph
from graphkit.nn.skeletons.frame_branches import FrameBranches
from graphkit.nn.skeletons.joint_conv import ConvNorm, FrameConv
from graphkit.nn.skeletons.joint_mixing import JointMixing
from graphkit.nn.skeletons.model import SkeletonModel

__all__ = ["CTRGCN", "CTRGCNBlock"]

SMALL = 1e-6


class CTRGCNBlock(nn.Module):
    r"""One layer of CTR-GCN.

    Args:
        in_channels (int): Width of the input.
        out_channels (int): Width of the output, at least 4.
        adjacency (torch.Tensor): Where the shared graphs start, :math:`(K, V, V)`.
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
        self.residual, self.subsets = residual, len(adjacency)
        relations = 8 if in_channels <= 16 else in_channels // 8
        subsets, wider = self.subsets, in_channels != out_channels
        self.register_buffer("begin", adjacency.transpose(1, 2).clone(), persistent=False)
        self.shared = nn.Parameter(self.begin.clone())
        self.alpha = nn.Parameter(torch.zeros(1))
        self.query = FrameConv(in_channels, subsets * relations)
        self.key = FrameConv(in_channels, subsets * relations)
        self.value = FrameConv(in_channels, subsets * out_channels)
        self.refine = nn.Conv2d(subsets * relations, subsets * out_channels, 1, groups=subsets)
        self.mixing = JointMixing(torch.ones_like(adjacency[0], dtype=torch.bool))
        self.norm = nn.BatchNorm2d(out_channels)
        self.down = ConvNorm(in_channels, out_channels) if wider else None
        self.branches = FrameBranches(out_channels, 5, (1, 2), stride)
        changed = residual and (wider or stride > 1)
        self.shortcut = ConvNorm(in_channels, out_channels, stride=stride) if changed else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all parameters anew; the graphs start where they did."""
        self.shared.data.copy_(self.begin)
        nn.init.zeros_(self.alpha)
        for conv in (self.query, self.key, self.value, self.refine):
            for weight in conv.weight.chunk(self.subsets):
                nn.init.kaiming_normal_(weight, mode="fan_out")
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
        self.norm.reset_parameters()
        nn.init.constant_(self.norm.weight, SMALL)
        for part in (self.down, self.branches, self.shortcut):
            if part is not None:
                part.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.spatial(x))
        h = (h + (x if self.down is None else self.down(x))).relu_()
        h = self.branches(h)
        if self.residual:
            h = h + (x if self.shortcut is None else self.shortcut(x))
        return h.relu_()

    def spatial(self, x: Tensor) -> Tensor:
        """Every channel's joints, mixed by its own graphs."""
        mean = x.mean(dim=3, keepdim=True)
        apart = self.query(mean) - self.key(mean).transpose(2, 3)
        refined = self.alpha * self.refine(apart.tanh())
        adjacency = refined.unflatten(1, (self.subsets, -1)) + self.shared.unsqueeze(1)
        value = self.value(x).contiguous(memory_format=torch.contiguous_format)
        heard = self.mixing(value, adjacency.flatten(1, 2).transpose(2, 3))
        out = heard.unflatten(1, (self.subsets, -1)).sum(1)
        return out.contiguous(memory_format=torch.channels_last)


@method(
    paper="arXiv:2107.12213",
    title=(
        "Channel-wise Topology Refinement Graph Convolution for Skeleton-Based Action Recognition"
    ),
    authors="Yuxin Chen, Ziqi Zhang, Chunfeng Yuan, Bing Li, Ying Deng, Weiming Hu",
    venue="ICCV 2021",
    year=2021,
    code="https://github.com/Uason-Chen/CTR-GCN",
    licence="CC-BY-NC-4.0",
    takes="clips of skeletons, or graphs with a node per joint and features over time",
    gives="scores per clip",
    deviations=[
        "normalisations of the temporal branches start at 1, in the code at N(1, 0.02)",
        "up to 16 input channels have 8 relations, as in PYSKL; in the code 3 and 9 have",
    ],
    verified_by="tests/nn/models/test_ctrgcn.py",
)
class CTRGCN(SkeletonModel):
    r"""The network of the `"Channel-wise Topology Refinement Graph Convolution for
    Skeleton-Based Action Recognition" <https://arxiv.org/abs/2107.12213>`_ paper.

    .. math::
        \mathbf{x}^{\prime}_{c,u} = \sum_k \sum_v \big( \mathbf{A}_k + \alpha \, \mathbf{R}_{k,c}
        \big)_{uv} (\mathbf{W}_k \mathbf{X})_{c,v}, \qquad \mathbf{R}_k = \mathbf{E}_k \tanh \big(
        \mathbf{Q}_k \bar{\mathbf{x}}_u - \mathbf{K}_k \bar{\mathbf{x}}_v \big)

    with means :math:`\bar{\mathbf{x}}` over frames. The shared graphs :math:`\mathbf{A}_k` are
    learned and start at the skeleton. Four views of time follow: five frames, 1 and 2 frames
    apart, a maximum and a plain map. Frames are halved where the width doubles. Time and memory
    grow with :math:`N V C (T C + V)`.

    Args:
        in_channels (int): Numbers per joint and frame.
        num_classes (int): Number of scores.
        graph (SkeletonGraph): The skeleton, with :obj:`strategy="spatial"` in the paper.
        hidden_channels (int, optional): Width of the first stage, at least 4; each further
            one doubles it. (default: :obj:`64`)
        num_layers (sequence of int, optional): Blocks per stage. (default: :obj:`(4, 3, 3)`)
        num_person (int, optional): Persons in a clip. (default: :obj:`2`)
        dropout (float, optional): In front of the classifier. (default: :obj:`0.0`)

    Shapes:
        - **input:** clips :math:`(B, C, T, V, M)`, or :class:`~torch_geometric.data.Data` with
          ``x`` :math:`(B M V, C, T)`
        - **output:** :math:`(B, K)`

    Raises:
        ValueError: If an option or the shape of an input is wrong, or numbers are not finite.

    Example:
        >>> import torch
        >>> from graphkit.nn import CTRGCN, SkeletonGraph
        >>> graph = SkeletonGraph("kinect-20")
        >>> model = CTRGCN(3, 10, graph, hidden_channels=8, num_layers=(1, 1), num_person=1)
        >>> model(torch.rand(2, 3, 16, 20, 1)).shape
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
        super().__init__(in_channels, num_classes, graph, *sizes, norm="MVC")
        for width, wider, stride in self.steps():
            residual = len(self.blocks) > 0
            self.blocks.append(CTRGCNBlock(width, wider, graph.adjacency, stride, residual))
