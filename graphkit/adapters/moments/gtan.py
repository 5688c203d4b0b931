"""Proposals for actions in a video as a graph."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.precision import positive
from graphkit.vision.actions.gtan import Proposals
from graphkit.vision.actions.segments import segment_iou

__all__ = ["ProposalGraphAdapter"]

FACTS = 6


class ProposalGraphAdapter(GraphAdapter):
    r"""The best proposals of a video as nodes, linked where they overlap, stand close together,
    or lie above one another in the pyramid.

    .. math::
        \mathcal{E} = \{(i, j) : \mathrm{tIoU}_{ij} > \theta\} \cup
        \{(i, j) : \mathrm{tIoU}_{ij} = 0, \; |c_i - c_j| < \phi \, |s_i \cup s_j| \} \cup
        \{(i, j) : l_j = l_i \pm 1, \; \lfloor t / 2 \rfloor = t'\}

    Memory grows with the square of :obj:`keep`. Kernel groups of
    :func:`~graphkit.vision.group_kernels` are the connected parts of the overlap edges between
    neighbouring cells of a level, so pooling by them is PyG's pooling by a cluster vector.

    Args:
        channels (int): Width of the proposals' features.
        num_classes (int): Number of actions.
        keep (int, optional): Most proposals per video, by score. (default: :obj:`64`)
        theta (float, optional): Overlap above which proposals are linked.
            (default: :obj:`0.3`)
        phi (float, optional): Distance, as a share of the span of both, below which disjoint
            proposals are linked. (default: :obj:`0.75`)

    Shapes:
        - **input:** :class:`~graphkit.vision.actions.gtan.Proposals` of one video; actions'
          segments :math:`(K, 2)` and numbers :math:`(K)` if known
        - **output:** ``x`` :math:`(N, F + C + 6)`: pooled feature, scores of the actions, centre,
          width, deviation, level, foreseen overlap, score of background; ``edge_attr``
          :math:`(E, 6)`: tIoU, distance in widths, logarithm of the widths' ratio, and whether
          it is an overlap, a context or a pyramid edge

    Raises:
        ValueError: If there is not exactly one video.

    Example:
        >>> import torch
        >>> from graphkit.adapters import ProposalGraphAdapter
        >>> from graphkit.vision import GTAN
        >>> model = GTAN(8, num_classes=2, channels=16, num_levels=2)
        >>> graph = ProposalGraphAdapter(16, 2, keep=10)(model(torch.rand(1, 8, 16)))
        >>> graph.x.shape
        torch.Size([10, 24])
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        keep: int = 64,
        theta: float = 0.3,
        phi: float = 0.75,
    ) -> None:
        super().__init__()
        if keep < 0 or not 0 <= theta < 1 or phi < 0:
            raise ValueError(
                f"'keep' and 'phi' must not be negative and 'theta' in [0, 1), got {keep}, {phi} "
                f"and {theta}"
            )
        self.keep, self.theta, self.phi = keep, theta, phi
        self.schema = Schema(
            node="a proposal: a segment of a video in which an action may be",
            edge="overlaps, stands close to, or lies above or below in the pyramid",
            attributes={
                "x": ("N", channels + num_classes + FACTS),
                "span": ("N", 2),
                "level": ("N",),
                "y": ("N",),
                "y_iou": ("N",),
                "edge_index": (2, "E"),
                "edge_attr": ("E", 6),
            },
            undirected=True,
            y="the annotated action that overlaps most; the number of actions where none is "
            "overlapped by half, -1 where nothing is known; y_iou is that overlap",
            differentiable=("x", "span", "edge_attr"),
        )

    def forward(self, found: Proposals, truth: tuple[Tensor, Tensor] | None = None) -> Data:
        """The graph of one video."""
        if found.centre.size(0) != 1:
            raise ValueError(f"'found' must hold one video, got {found.centre.size(0)}")
        best = found.scores()[0].detach().amax(1)
        order = best.argsort(descending=True, stable=True)[: self.keep]
        order = order[found.valid[0, order]].sort().values
        span = found.segments()[0, order]
        score = found.logits[0, order].softmax(1)
        level, cell = found.level[order], found.cell[order]
        width = span[:, 1] - span[:, 0]
        facts = [span.mean(1), width, found.sigma[0, order], level.to(span.dtype)]
        facts += [found.overlap[0, order].sigmoid(), score[:, -1]]
        edges, attr = self.link(span, level, cell)
        label, overlap = self.name(span.detach(), truth, score.size(1) - 1)
        return Data(
            x=torch.cat([found.feature[0, order], score[:, :-1], torch.stack(facts, 1)], 1).float(),
            span=span,
            level=level,
            y=label,
            y_iou=overlap,
            edge_index=edges,
            edge_attr=attr.float(),
            num_nodes=len(order),
        )

    def link(self, span: Tensor, level: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """Edges of all three kinds and what they carry."""
        overlap = segment_iou(span, span)
        centre, width = span.mean(1), positive(span[:, 1] - span[:, 0], 1e-6)
        apart = centre.unsqueeze(0) - centre.unsqueeze(1)
        union = torch.maximum(span[:, None, 1], span[:, 1]) - torch.minimum(
            span[:, None, 0], span[:, 0]
        )
        covers = overlap.detach() > self.theta
        near = (overlap.detach() == 0) & (apart.abs() < self.phi * union).detach()
        child = (level.unsqueeze(1) == level + 1) & (cell.unsqueeze(1) == cell // 2)
        kinds = torch.stack([covers, near, child | child.t()], 2)
        linked = kinds.any(2).fill_diagonal_(False)
        source, target = linked.nonzero().t()
        ratio = (width[target] / width[source]).log()
        attr = [overlap[source, target], apart[source, target] / width[source], ratio]
        return torch.stack([source, target]), torch.cat(
            [torch.stack(attr, 1), kinds[source, target].to(span.dtype)], 1
        )

    def name(
        self, span: Tensor, truth: tuple[Tensor, Tensor] | None, background: int
    ) -> tuple[Tensor, Tensor]:
        """The action that each proposal overlaps most, and how much."""
        count = len(span)
        if truth is None or not len(truth[1]):
            label = span.new_full((count,), -1 if truth is None else background)
            return label.long(), span.new_zeros(count)
        overlap, which = segment_iou(span, truth[0].detach().to(span.dtype)).max(1)
        return torch.where(overlap >= 0.5, truth[1][which], background), overlap
