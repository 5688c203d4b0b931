"""Four graphs and two views of time side by side, merged."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.data.skeleton_graph import SkeletonGraph
from graphkit.nn.skeletons.joint_conv import (
    ConvNorm,
    FrameConv,
    frames_first,
    join,
    joints_first,
    split,
)
from graphkit.nn.skeletons.joint_mixing import JointMixing
from graphkit.nn.skeletons.motion import motion

__all__ = ["STInceptionBlock"]

Poly = Literal["chebyshev", "released"]
SMALL = 1e-6


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
    takes="features of joints over time",
    gives="features of joints over time",
    deviations=[
        "poly='chebyshev' scales the adjacency to averages over neighbours, which keeps its "
        "spectrum in [-1, 1]; the paper names no scale",
        "the temporal path is two convolutions over frames, on positions and motions, as in the "
        "released code, without the graph that the paper draws into it",
    ],
    verified_by="tests/golden_checks/st_inception_block.py",
)
class STInceptionBlock(nn.Module):
    r"""The building block of the `"Spatio-Temporal Inception Graph Convolutional Networks for
    Skeleton-Based Action Recognition" <https://arxiv.org/abs/2011.13322>`_ paper.

    .. math::
        \mathbf{X}^{\prime} &= \mathrm{ReLU} \big( \mathrm{BN} (\mathbf{W}_s \, [\mathbf{Z}_1
        \Vert \dots \Vert \mathbf{Z}_4]) + \mathrm{BN} (\mathbf{W}_t \, [\mathbf{Y}_1 \Vert
        \mathbf{Y}_2]) + \mathbf{X} \big) \\
        \mathbf{Z}_k &= \mathrm{ReLU} \left( \mathrm{BN} \left( \mathbf{W}_k \mathbf{X} \,
        (\mathbf{S}_k + \mathbf{P}_k + p \, \mathbf{C}) \right) \right), \qquad
        \mathbf{C} = \mathrm{softmax}_v \left( \tfrac{1}{d T} \textstyle\sum_t
        \theta(\mathbf{X}_t)^{\top} \phi(\mathbf{X}_t) \right)

    with joints :math:`\mathbf{S}_1 = \mathbf{I}`, bones :math:`\mathbf{S}_2 = \mathbf{I} -
    \mathbf{A}_1`, and two polynomials of the skeleton. :math:`\mathbf{Y}_1` and
    :math:`\mathbf{Y}_2` are convolutions over three frames, of the features and of their
    differences to the next frame.

    * :obj:`poly="chebyshev"`, the paper's: :math:`\mathbf{S}_3 = T_3(\hat{\mathbf{A}})`,
      :math:`\mathbf{S}_4 = T_4(\hat{\mathbf{A}})`, powers of matrices, of averages over
      neighbours :math:`\hat{\mathbf{A}}`.
    * :obj:`poly="released"`, the code's, powers of entries of :math:`\mathbf{A} = \mathbf{A}_1 +
      \mathbf{A}_2`: :math:`\mathbf{S}_3 = 4 \mathbf{A}^{\circ 2} - \mathbf{A} - 2\mathbf{I}`,
      :math:`\mathbf{S}_4 = \mathrm{softmax}_v ((8 \mathbf{A}^{\circ 4} - 4 \mathbf{A}^{\circ 2} -
      4 \mathbf{A} + \mathbf{I}) / V)`, nearly the mean of all joints.

    Branches are convolved before they are mixed, :math:`\mathbf{W} (\mathbf{X} \mathbf{S}) =
    (\mathbf{W} \mathbf{X}) \mathbf{S}`, all four at once, which quarters the cost of mixing:
    :math:`\mathcal{O}(N T V (C^2 + V C))`.

    Args:
        in_channels (int): Width of the input.
        out_channels (int): Width of the output, a multiple of 4.
        graph (SkeletonGraph or torch.Tensor): The skeleton with :obj:`strategy="spatial"`, or
            such a stack of adjacencies :math:`(3, V, V)`.
        residual (bool, optional): Adds the input; both paths then start near zero.
            (default: :obj:`True`)
        poly (str, optional): See above. (default: :obj:`"chebyshev"`)

    Shapes:
        - **input:** :math:`(N, C, T, V)`
        - **output:** :math:`(N, C', T, V)`

    Raises:
        ValueError: If a width, the graph or the shape of an input is wrong.

    Example:
        >>> import torch
        >>> from graphkit.nn import SkeletonGraph, STInceptionBlock
        >>> block = STInceptionBlock(3, 8, SkeletonGraph("coco-17"))
        >>> block(torch.rand(2, 3, 6, 17)).shape
        torch.Size([2, 8, 6, 17])
    """

    static: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        graph: SkeletonGraph | Tensor,
        residual: bool = True,
        poly: Poly = "chebyshev",
    ) -> None:
        super().__init__()
        if out_channels < 4 or out_channels % 4:
            raise ValueError(f"'out_channels' must be a multiple of 4, got {out_channels}")
        adjacency = graph if isinstance(graph, Tensor) else graph.adjacency
        if adjacency.dim() != 3 or adjacency.size(0) != 3:
            raise ValueError(
                "'graph' must have three subsets, as strategy='spatial' makes them, got "
                f"{list(adjacency.shape)}"
            )
        width = out_channels // 4
        self.in_channels, self.out_channels = in_channels, out_channels
        self.residual, self.poly = residual, poly
        self.register_buffer("static", polynomials(adjacency, poly))
        self.offset = nn.Parameter(torch.empty_like(self.static))
        self.gain = nn.Parameter(torch.empty(1))
        self.project = FrameConv(in_channels, 2 * width)
        self.branches = FrameConv(in_channels, out_channels, bias=False)
        self.branch_norm: nn.Module = nn.BatchNorm2d(out_channels)
        self.mixing = JointMixing(torch.ones_like(adjacency[0], dtype=torch.bool))
        scale = SMALL if residual else 1.0
        self.merge_joints = ConvNorm(out_channels, out_channels, bias=False, scale=scale)
        half = out_channels // 2
        self.position = FrameConv(in_channels, half, 3, bias=False)
        self.motion = FrameConv(in_channels, half, 3, bias=False)
        self.frame_norm: nn.Module = nn.BatchNorm2d(out_channels)
        self.merge_frames = ConvNorm(out_channels, out_channels, bias=False, scale=scale)
        wider = residual and in_channels != out_channels
        self.shortcut = ConvNorm(in_channels, out_channels, bias=False) if wider else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all parameters anew."""
        nn.init.constant_(self.offset, SMALL)
        nn.init.constant_(self.gain, SMALL)
        parts = (*self.project.weight.chunk(2), *self.branches.weight.chunk(4))
        for weight in (*parts, self.position.weight, self.motion.weight):
            nn.init.kaiming_normal_(weight, mode="fan_out")
        if self.project.bias is not None:
            nn.init.zeros_(self.project.bias)
        for part in self.children():
            if isinstance(part, (ConvNorm, nn.BatchNorm2d)):
                part.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """The features of every joint and frame from those around it."""
        if x.dim() != 4 or x.size(1) != self.in_channels or x.size(3) != self.static.size(-1):
            raise ValueError(
                f"'x' must be [N, {self.in_channels}, T, {self.static.size(-1)}], "
                f"got {list(x.shape)}"
            )
        return frames_first(self.along_joints(joints_first(x)))

    def along_joints(self, x: Tensor) -> Tensor:
        """:meth:`forward` on ``[N, C, V, T]``, channels last."""
        out = self.spatial(x) + self.temporal(x)
        if self.residual:
            out += x if self.shortcut is None else self.shortcut(x)
        return out.relu_()

    def spatial(self, x: Tensor) -> Tensor:
        """The path of four graphs."""
        h = self.mixing(split(self.branches(x), 4), self.adjacency(x))
        return self.merge_joints(self.branch_norm(join(h, x.size(3))).relu_())

    def adjacency(self, x: Tensor) -> Tensor:
        """The weights between joints of each clip and branch, ``[N, 4, V, V]``."""
        theta, phi = split(self.project(x), 2).unbind(1)
        score = theta @ phi.transpose(1, 2) / theta.size(-1)
        return (self.static + self.offset) + self.gain * score.softmax(dim=1).unsqueeze(1)

    def temporal(self, x: Tensor) -> Tensor:
        """The path of positions and motions."""
        h = torch.cat([self.position(x), self.motion(motion(x))], dim=1)
        return self.merge_frames(self.frame_norm(h).relu_())

    def fold(self) -> None:
        """Folds the normalisations of both paths' branches into convolutions, for inference.

        The scale of a branch commutes with its mixing, the shift comes behind it.
        """
        if not isinstance(self.branch_norm, nn.BatchNorm2d):
            return
        scale, shift = affine(self.branch_norm)
        self.branches.weight.data *= scale.view(-1, 1, 1, 1)
        self.branch_norm = Shift(shift)
        assert isinstance(self.frame_norm, nn.BatchNorm2d)
        scale, shift = affine(self.frame_norm)
        halves = zip((self.position, self.motion), scale.chunk(2), shift.chunk(2), strict=True)
        for conv, factor, bias in halves:
            conv.weight.data *= factor.view(-1, 1, 1, 1)
            conv.bias = nn.Parameter(bias.clone(), requires_grad=False)
        self.frame_norm = nn.Identity()

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.out_channels}, "
            f"residual={self.residual}, poly={self.poly!r})"
        )


class Shift(nn.Module):
    """Adds a number per channel, in place."""

    value: Tensor

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.register_buffer("value", value.view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x.add_(self.value)


def affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """What a normalisation multiplies by and adds in evaluation mode, per channel."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.detach() * torch.rsqrt(norm.running_var + norm.eps)
    return scale, norm.bias.detach() - norm.running_mean * scale


def polynomials(adjacency: Tensor, poly: Poly) -> Tensor:
    """The four fixed graphs from the adjacency of joints, parents and children."""
    eye, parents, children = adjacency
    both = parents + children
    if poly == "released":
        third = 4 * both.pow(2) - both - 2 * eye
        fourth = (8 * both.pow(4) - 4 * both.pow(2) - 4 * both + eye) / len(eye)
        return torch.stack([eye, eye - parents, third, fourth.softmax(dim=0)])
    if poly != "chebyshev":
        raise ValueError(f"'poly' must be 'chebyshev' or 'released', got {poly!r}")
    edges = (both > 0).to(both)
    step = edges / edges.sum(dim=0).clamp(min=1)
    terms = [eye, step]
    while len(terms) < 5:
        terms.append(2 * step @ terms[-1] - terms[-2])
    return torch.stack([eye, eye - parents, *terms[3:]])
