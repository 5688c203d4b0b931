"""STIGCN: inception blocks on skeletons."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from graphkit.catalog import method
from graphkit.data.skeleton_graph import SkeletonGraph
from graphkit.nn.skeletons.model import SkeletonModel
from graphkit.nn.skeletons.st_inception_block import Poly, STInceptionBlock

__all__ = ["STIGCN"]


@method(
    paper="arXiv:2011.13322",
    title=(
        "Spatio-Temporal Inception Graph Convolutional Networks for Skeleton-Based Action "
        "Recognition"
    ),
    authors="Zhen Huang, Xu Shen, Xinmei Tian, Houqiang Li, Jianqiang Huang, Xian-Sheng Hua",
    venue="ACM MM 2020",
    year=2020,
    code="https://github.com/yellowtownhz/STIGCN",
    licence="none",
    takes="clips of skeletons, or graphs with a node per joint and features over time",
    gives="scores per clip",
    deviations=["those of STInceptionBlock"],
    verified_by="tests/nn/models/test_stigcn.py",
)
class STIGCN(SkeletonModel):
    r"""The network of the `"Spatio-Temporal Inception Graph Convolutional Networks for
    Skeleton-Based Action Recognition" <https://arxiv.org/abs/2011.13322>`_ paper: ten
    :class:`~graphkit.nn.STInceptionBlock`, the frames halved in front of each stage.

    .. math::
        \mathbf{y} = \mathbf{W} \, \frac{1}{M T V} \sum_{m, t, v} \left( B_{10} \circ \dots \circ
        B_1 (\mathrm{BN}(\mathbf{X}_m)) \right)_{t, v}

    Persons are seen one by one; the scores are those of their mean, persons that are not there
    included.

    Args:
        in_channels (int): Numbers per joint and frame.
        num_classes (int): Number of scores.
        graph (SkeletonGraph): The skeleton, with :obj:`strategy="spatial"`.
        hidden_channels (int, optional): Width of the first stage, a multiple of 4; each
            further stage doubles it. (default: :obj:`64`)
        num_layers (sequence of int, optional): Blocks per stage; the very first one has no
            shortcut and is followed by a halving, too. (default: :obj:`(4, 3, 3)`)
        num_person (int, optional): Persons in a clip. (default: :obj:`2`)
        dropout (float, optional): In front of the classifier. (default: :obj:`0.5`)
        poly (str, optional): :obj:`"chebyshev"`, the paper's polynomials, or
            :obj:`"released"`, the code's. (default: :obj:`"chebyshev"`)

    Shapes:
        - **input:** clips :math:`(B, C, T, V, M)`, or :class:`~torch_geometric.data.Data` with
          ``x`` :math:`(B M V, C, T)`; any :math:`T` that can be halved as often as there are
          stages
        - **output:** :math:`(B, K)`

    Raises:
        ValueError: If an option or the shape of an input is wrong, or numbers are not finite.

    Example:
        >>> import torch
        >>> from graphkit.nn import STIGCN, SkeletonGraph
        >>> model = STIGCN(3, 60, SkeletonGraph("ntu-25"))
        >>> sum(parameter.numel() for parameter in model.parameters())
        1596474
        >>> small = STIGCN(3, 10, SkeletonGraph("kinect-20"), hidden_channels=8, num_person=1)
        >>> small(torch.rand(2, 3, 16, 20, 1)).shape
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
        poly: Poly = "chebyshev",
    ) -> None:
        super().__init__(
            in_channels,
            num_classes,
            graph,
            hidden_channels,
            num_layers,
            num_person,
            dropout,
            norm="MVC",
            min_frames=2 ** len(num_layers),
        )
        for width, wider, _ in self.steps():
            residual = len(self.blocks) > 0
            self.blocks.append(STInceptionBlock(width, wider, graph, residual, poly))
        ends = [sum(num_layers[: stage + 1]) for stage in range(len(num_layers) - 1)]
        self.halvings = {1, *ends}

    def features(self, x: Tensor) -> Tensor:
        """The blocks, and the maximum of every two frames in front of each stage."""
        for number, block in enumerate(self.blocks, 1):
            x = block.along_joints(x)  # type: ignore[operator]
            if number in self.halvings:
                x = F.max_pool2d(x, (1, 2))
        return x
