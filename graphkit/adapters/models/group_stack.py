"""Labels of several teachers as a graph: which come together, by generated samples alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data, HeteroData

from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.compress.block_net import beside
from graphkit.distill.amalgamation.group_stack import ChannelGate, GroupStackAmalgamation
from graphkit.modes import evaluating
from graphkit.precision import positive
from graphkit.words import refuse_class

__all__ = ["AmalgamationGraphAdapter", "LabelGraphAdapter"]


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


GROUPS, TAUGHT, STUDENT, LABELS = "generator_group", "teacher_block", "student_block", "label"
CHAINS = tuple((kind, "feeds", kind) for kind in (GROUPS, TAUGHT, STUDENT))
ENTERS = (GROUPS, "feeds", STUDENT)
JUDGED = tuple((kind, "judged_by", TAUGHT) for kind in (GROUPS, STUDENT))
PREDICTS = tuple((kind, "predicts", LABELS) for kind in (TAUGHT, STUDENT))


class AmalgamationGraphAdapter(GraphAdapter):
    r"""A whole :class:`~graphkit.distill.GroupStackAmalgamation` as a graph: which part feeds
    which, and who judges it.

    Groups of the generator, blocks of the teachers and of the student are nodes with the mean,
    standard deviation and share of zeros of what they give; labels have their mean prediction.
    What enters a teacher half-way is judged by the block that it enters, through gates; the edge
    has their mean, 1 where there is none. Gates near zero tell which teacher a part is of no use
    to. Time is one pass of all networks; the graph's size depends on the networks alone.

    Args:
        model (GroupStackAmalgamation): Generator, teachers and student.

    Shapes:
        - **input:** noise, and what else the blocks take
        - **output:** ``x`` :math:`(N, 3)` of parts, :math:`(C, 1)` of labels; ``edge_attr`` of
          ``judged_by`` :math:`(E, 1)`; ``teacher_block.y``: the teacher; ``label.wanted``: its
          place among the student's logits, -1 if it has none

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from graphkit.adapters import AmalgamationGraphAdapter
        >>> from graphkit.distill import GroupStackAmalgamation
        >>> model = GroupStackAmalgamation(
        ...     [nn.Linear(3, 4), nn.Linear(4, 6)], [[nn.Linear(6, 4), nn.Linear(4, 2)]] * 2,
        ...     [nn.Linear(6, 4), nn.Linear(4, 1)], [["a", "b"], ["c", "d"]], ["c"],
        ...     torch.rand(5, 3))
        >>> graph = AmalgamationGraphAdapter(model)(torch.randn(9, 3))
        >>> graph["teacher_block"].num_nodes, graph["label"].wanted
        (4, tensor([-1, -1,  0, -1]))
    """

    schema = Schema(
        node={
            GROUPS: "a group of the generator, from noise to samples",
            TAUGHT: "a block of a teacher, teacher after teacher",
            STUDENT: "a block of the student",
            LABELS: "a label of a teacher, teacher after teacher",
        },
        edge={
            **{".".join(kind): "the target takes what the source gives" for kind in CHAINS},
            ".".join(ENTERS): "the block also learns on what the group gives",
            **{".".join(kind): "the block judges it; mean gate" for kind in JUDGED},
            **{".".join(kind): "the block gives the label's logit" for kind in PREDICTS},
        },
        attributes={
            **{f"{kind}.x": ("N", 3) for kind in (GROUPS, TAUGHT, STUDENT)},
            f"{TAUGHT}.y": ("N",),
            f"{LABELS}.x": ("N", 1),
            f"{LABELS}.wanted": ("N",),
            **{
                f"{'.'.join(kind)}.edge_index": (2, "E")
                for kind in (*CHAINS, ENTERS, *JUDGED, *PREDICTS)
            },
            **{f"{'.'.join(kind)}.edge_attr": ("E", 1) for kind in JUDGED},
        },
        y="the number of the teacher that the block belongs to",
    )

    def __init__(self, model: GroupStackAmalgamation) -> None:
        super().__init__()
        refuse_class("model", model)
        self.model = model

    @torch.no_grad()
    def forward(self, z: Tensor, edge_index: Tensor | None = None, **context: Any) -> HeteroData:
        """The graph, as the networks answer to samples of some noise."""
        context, model = beside(edge_index, context), self.model
        blocks, count = len(model.student), len(model.teachers)
        with evaluating(model):
            made = model.generate(z, **context)
            ours = passed(model.student, made[-1], context)
            taught = [passed(teacher, made[-1], context) for teacher in model.teachers]
            # Group j enters block B - j, what the student's block b gives block b + 1.
            entering = [(j, blocks - 1 - j, model.gates, f) for j, f in enumerate(made)]
            leaving = [(b, b + 1, model.filters, f) for b, f in enumerate(ours[:-1])]
            gates = [
                [mean_gate(own[m][to], f) for m in range(count) for _, to, own, f in pairs]
                for pairs in (entering, leaving)
            ]
        data = HeteroData()
        everything = [feature for one in taught for feature in one]
        for kind, features in ((GROUPS, made), (TAUGHT, everything), (STUDENT, ours)):
            data[kind].update({"x": summaries(features), "num_nodes": len(features)})
        number = torch.arange(count, device=z.device).repeat_interleave(blocks)
        data[TAUGHT].y = number
        y = torch.cat([one[-1] for one in taught], 1).sigmoid().double()
        self.add_labels(data, (y.sum(0) / max(len(y), 1)).float().unsqueeze(1))
        for (kind, _, _), chains in zip(CHAINS, (1, count, 1), strict=True):
            data[kind, "feeds", kind].edge_index = chain(chains, blocks, z.device)
        first = torch.arange(blocks, device=z.device)
        # Sorted by source: the first group enters the student's last block.
        data[ENTERS].edge_index = torch.stack([first, first.flip(0)])
        for triple, pairs, gate in zip(JUDGED, (entering, leaving), gates, strict=True):
            ends = [[p[0], m * blocks + p[1]] for m in range(count) for p in pairs]
            edges = torch.tensor(ends, device=z.device).t()
            order = (edges[0] * count * blocks + edges[1]).argsort()
            data[triple].edge_index = edges[:, order].contiguous()
            data[triple].edge_attr = torch.stack(gate)[order].float().unsqueeze(1)
        return data

    def add_labels(self, data: HeteroData, prior: Tensor) -> None:
        """Labels, and who predicts them."""
        model, device = self.model, prior.device
        blocks = len(model.student)
        union = [label for own in model.known for label in own]
        places = [model.labels.index(a) if a in model.labels else -1 for a in union]
        wanted = torch.tensor(places, device=device)
        data[LABELS].update({"x": prior, "wanted": wanted, "num_nodes": len(union)})
        sizes = torch.tensor([len(own) for own in model.known], device=device)
        last = torch.arange(len(sizes), device=device) * blocks + blocks - 1
        label = torch.arange(len(union), device=device)
        data[PREDICTS[0]].edge_index = torch.stack([last.repeat_interleave(sizes), label])
        mine = label[wanted >= 0]
        data[PREDICTS[1]].edge_index = torch.stack([torch.full_like(mine, blocks - 1), mine])


def passed(net: Any, x: Tensor, context: dict[str, Any]) -> list[Tensor]:
    """What every block gives."""
    given = []
    for level in range(len(net)):
        x = net.step(level, x, context)
        given.append(x)
    return given


def mean_gate(gate: nn.Module, x: Tensor) -> Tensor:
    """The mean factor of a filter; 1 where there is none, or no sample."""
    if not isinstance(gate, ChannelGate) or not len(x):
        return x.new_ones(())
    return gate.gate(x).mean()


def summaries(features: list[Tensor]) -> Tensor:
    """Mean, standard deviation and share of zeros of each; zeros where there is no sample."""
    rows = []
    for feature in features:
        flat = feature.double().flatten()
        if not len(flat):
            rows.append(flat.new_zeros(3))
            continue
        values = [flat.mean(), flat.std(correction=0), (flat == 0).double().mean()]
        rows.append(torch.stack(values))
    return torch.stack(rows).float()


def chain(count: int, length: int, device: torch.device) -> Tensor:
    """Edges along so many chains."""
    nodes = torch.arange(count * length, device=device).view(count, length)
    return torch.stack([nodes[:, :-1].flatten(), nodes[:, 1:].flatten()])
