"""Labels of several teachers as a graph: which come together, by generated samples alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.compress.block_net import beside
from graphkit.distill.amalgamation.group_stack import GroupStackAmalgamation
from graphkit.modes import evaluating
from graphkit.precision import positive
from graphkit.words import refuse_class

__all__ = ["LabelGraphAdapter"]


class LabelGraphAdapter(GraphAdapter):
    r"""The labels of the teachers of a :class:`~graphkit.distill.GroupStackAmalgamation`.

    An edge from label :math:`i` to label :math:`j` has the weight
    :math:`P(j \mid i) = \sum_n y_{ni} y_{nj} / \sum_n y_{ni}` of the teachers' predictions
    :math:`y` on generated samples: the graph that classifiers of many labels are made of, without
    any data. Generated samples are not real ones: compare with real counts before use. Time is
    one pass of generator and teachers; memory grows with the square of the labels.

    Args:
        model (GroupStackAmalgamation): The generator and the teachers.
        threshold (float, optional): The least weight of an edge. (default: :obj:`0.05`)

    Shapes:
        - **input:** noise, and what else the blocks take
        - **output:** ``x`` :math:`(C, D)`: the teacher's last weights for the label, with zeros
          up to the widest teacher; ``edge_weight`` :math:`(E)`; ``prior`` :math:`(C)`: the mean
          prediction; ``y`` :math:`(C)`: the teacher

    Raises:
        ValueError: If ``threshold`` is not between 0 and 1, or a teacher's last block has no
            weight with a row per label.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from graphkit.adapters import LabelGraphAdapter
        >>> from graphkit.distill import GroupStackAmalgamation
        >>> model = GroupStackAmalgamation(
        ...     [nn.Linear(3, 4), nn.Linear(4, 6)], [[nn.Linear(6, 4), nn.Linear(4, 2)]] * 2,
        ...     [nn.Linear(6, 4), nn.Linear(4, 1)], [["a", "b"], ["c", "d"]], ["c"],
        ...     torch.rand(5, 3))
        >>> LabelGraphAdapter(model)(torch.randn(9, 3)).num_nodes
        4
    """

    schema = Schema(
        node="a label of a teacher",
        edge="the target is there where the source is; weight: its conditional probability",
        attributes={
            "x": ("N", "D"),
            "edge_index": (2, "E"),
            "edge_weight": ("E",),
            "prior": ("N",),
            "y": ("N",),
        },
        undirected=False,
        y="the number of the teacher that knows the label",
    )

    def __init__(self, model: GroupStackAmalgamation, threshold: float = 0.05) -> None:
        super().__init__()
        refuse_class("model", model)
        if not 0 < threshold <= 1:
            raise ValueError(f"'threshold' must be above 0 and at most 1, got {threshold}")
        self.model, self.threshold = model, threshold
        self.rows()

    def rows(self) -> Tensor:
        """The last weights of every label."""
        rows = []
        for m, (teacher, own) in enumerate(zip(self.model.teachers, self.model.known, strict=True)):
            fitting = [p for p in teacher[-1].parameters() if p.dim() == 2 and len(p) == len(own)]
            if not fitting:
                raise ValueError(f"the last block of teacher {m} has no weight of {len(own)} rows")
            rows.append(fitting[-1].detach().float())
        widest = max(weight.size(1) for weight in rows)
        return torch.cat([torch.nn.functional.pad(w, (0, widest - w.size(1))) for w in rows])

    @torch.no_grad()
    def forward(self, z: Tensor, edge_index: Tensor | None = None, **context: Any) -> Data:
        """The graph of the labels, estimated on what the generator makes of noise."""
        context = beside(edge_index, context)
        with evaluating(self.model):
            sample = self.model.generate(z, **context)[-1]
            logits, _ = self.model.enter(0, sample, self.model.gates, context)
        y = torch.cat(logits, 1).sigmoid().double()
        total = y.sum(0)
        given = (y.t() @ y) / positive(total).unsqueeze(1)
        given.fill_diagonal_(0)
        edges = (given >= self.threshold).nonzero().t().contiguous()
        counts = torch.tensor([len(own) for own in self.model.known], device=z.device)
        teacher = torch.arange(len(counts), device=z.device).repeat_interleave(counts)
        return Data(
            x=self.rows().to(z.device),
            edge_index=edges,
            edge_weight=given[edges[0], edges[1]].clamp(max=1).float(),
            prior=(total / max(len(y), 1)).float(),
            y=teacher,
            num_nodes=len(teacher),
        )
