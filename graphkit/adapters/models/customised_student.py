"""Samples, sources and tasks as a graph: who trusts whom."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.distill.amalgamation.customised_student import CustomizedStudent, Trust
from graphkit.words import refuse_class

__all__ = ["TrustGraphAdapter"]

TRUSTS = ("sample", "trusts", "source")
COVERS = ("source", "covers", "task")
LEARNS = ("component", "learns_from", "source")
JOINS = ("target", "learns_from", "component")
KINDS = (TRUSTS, COVERS, LEARNS, JOINS)


class TrustGraphAdapter(GraphAdapter):
    r"""The choices of a :class:`~graphkit.distill.CustomizedStudent` as a graph.

    Each sample is linked to every source that covers the task, with the source's entropy, its
    share of trust and whether it was chosen; each source to the tasks it covers; the network of
    the task to its sources, by the share of samples that chose them; the target, which is to do
    all tasks in the end, to the networks of the tasks. Which source will be right
    on a sample is then link prediction, and samples that trust the same source are a meta-path.
    Time is a forward pass of the sources; memory grows with :math:`N (M + F)`.

    Args:
        model (CustomizedStudent): The sources and what they cover.
        task (str, optional): One of its tasks. (default: the first)
        temperature (float, optional): :math:`\tau` of the shares of trust,
            :math:`\mathrm{softmax}(-H / \tau)`. (default: :obj:`1.0`)

    Shapes:
        - **input:** what the sources take, ``y`` :math:`(N)` (optional): classes of the task
        - **output:** ``sample.x`` :math:`(N, F)`: the first input, flattened; ``source.x``
          :math:`(M, T)`: the tasks it covers; ``task.x``, ``component.x``: one of
          :math:`T`; ``target.x``: all of them; ``edge_attr`` of ``trusts`` :math:`(E, 3)`:
          entropy, share, chosen; ``correct``: 1 where the source is right, -1 where no class
          is given

    Raises:
        ValueError: If the task is unknown, ``temperature`` is not positive, or ``y`` does not
            fit.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GAT, GCN
        >>> from graphkit.adapters import TrustGraphAdapter
        >>> from graphkit.distill import CustomizedStudent
        >>> sources = [GAT(8, 32, 2, 3), GCN(8, 24, 2, 3)]
        >>> model = CustomizedStudent(GCN(8, 16, 2, 3), sources, [{"kind": [0, 1, 2]}] * 2)
        >>> x, edge_index = torch.rand(9, 8), torch.randint(9, (2, 30))
        >>> graph = TrustGraphAdapter(model)(x, edge_index)
        >>> graph["sample", "trusts", "source"].edge_attr[:, 2].sum()
        tensor(9.)
    """

    def __init__(
        self, model: CustomizedStudent, task: str | None = None, temperature: float = 1.0
    ) -> None:
        super().__init__()
        refuse_class("model", model)
        if not temperature > 0:
            raise ValueError(f"'temperature' must be positive, got {temperature}")
        self.model, self.temperature = model, temperature
        self.task = model.tasks[0] if task is None else task
        model.before(self.task)
        # How many tasks there are is the model's, and so are the sizes in the schema.
        self.schema = Schema(
            node={
                "sample": "a sample",
                "source": "a trained network",
                "task": "a task that sources cover",
                "component": "the network that learns the task",
                "target": "the network that learns all tasks from their components",
            },
            edge={
                ".".join(TRUSTS): "a source covers the task; entropy, share of trust, chosen",
                ".".join(COVERS): "the source covers the task",
                ".".join(LEARNS): "the source teaches; weight: share of samples that chose it",
                ".".join(JOINS): "the component teaches the target",
            },
            attributes={
                "sample.x": ("N", "F"),
                "sample.y": ("N",),
                "source.x": ("N", len(model.tasks)),
                "task.x": (len(model.tasks), len(model.tasks)),
                "component.x": (1, len(model.tasks)),
                "target.x": (1, len(model.tasks)),
                # Edges of every type; only those that say how much carry more.
                **{f"{'.'.join(kind)}.edge_index": (2, "E") for kind in KINDS},
                f"{'.'.join(TRUSTS)}.edge_attr": ("E", 3),
                f"{'.'.join(TRUSTS)}.correct": ("E",),
                f"{'.'.join(LEARNS)}.edge_weight": ("E",),
            },
            y="the class of the task as the caller gives it, -1 where it is not given",
        )

    @torch.no_grad()
    def forward(self, *args: Any, y: Tensor | None = None, **kwargs: Any) -> HeteroData:
        """The graph of some samples, by what the sources take."""
        trust = self.model.trust(self.task, *args, **kwargs)
        x, number = next(iter([*args, *kwargs.values()])), trust.choice
        y = torch.full_like(number, -1) if y is None else y
        if y.shape != number.shape or len(x) != len(number):
            raise ValueError(
                f"there are {len(number)} logits, {len(x)} rows of the first input and 'y' of "
                f"shape {list(y.shape)}"
            )
        data = HeteroData()
        width = x[0].numel() if len(x) else math.prod(x.shape[1:])
        sample = {"x": x.detach().reshape(len(x), width).float(), "y": y, "num_nodes": len(x)}
        data["sample"].update(sample)
        self.add_known(data, x.device)
        self.add_trust(data, trust, y)
        return data

    def add_known(self, data: HeteroData, device: torch.device) -> None:
        """Sources, tasks, the component, and who covers what."""
        own = self.model.columns
        known = torch.zeros(self.model.count, len(own), device=device)
        for place, sources in enumerate(own.values()):
            known[list(sources), place] = 1
        eye = torch.eye(len(own), device=device)
        mine = eye[len(self.model.before(self.task))].unsqueeze(0)
        every = torch.ones_like(mine)
        kinds = ("source", known), ("task", eye), ("component", mine), ("target", every)
        for kind, x in kinds:
            data[kind].update({"x": x, "num_nodes": len(x)})
        data[JOINS].edge_index = torch.zeros(2, 1, dtype=torch.long, device=device)
        data[COVERS].edge_index = known.nonzero().t().contiguous()

    def add_trust(self, data: HeteroData, trust: Trust, y: Tensor) -> None:
        """Who trusts whom, and how often; sources are in order, and so edges are sorted."""
        count, width = trust.entropy.shape
        sources = torch.tensor(trust.sources, device=y.device)
        number = torch.arange(count, device=y.device)
        chosen = torch.nn.functional.one_hot(trust.choice, width)
        share = (-trust.entropy / self.temperature).softmax(1)
        right = (trust.logits.argmax(2) == y.unsqueeze(1)).long()
        right = torch.where(y.unsqueeze(1) < 0, -1, right)
        store = data[TRUSTS]
        store.edge_index = torch.stack([number.repeat_interleave(width), sources.repeat(count)])
        store.edge_attr = torch.stack([trust.entropy, share, chosen], 2).view(-1, 3).float()
        store.correct = right.view(-1)
        store = data[LEARNS]
        store.edge_index = torch.stack([torch.zeros_like(sources), sources])
        store.edge_weight = chosen.float().sum(0) / max(count, 1)
