"""The channels of two networks as a graph: who answers like whom."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from graphkit.adapters.builders import channel_responses, correlation_edges
from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.distill.distiller import features
from graphkit.modes import evaluating
from graphkit.taps import tap
from graphkit.words import refuse_classes

__all__ = ["ChannelGraphAdapter"]

ALIKE = ("student_channel", "resembles", "student_channel")
TAUGHT = ("student_channel", "resembles", "teacher_channel")


class ChannelGraphAdapter(GraphAdapter):
    r"""Channels of a student and of its teacher, linked where their responses correlate.

    A channel's response to a sample is its mean over places. Which half of the student's
    channels inherits from the teacher (:class:`~graphkit.distill.InheritanceExploration`) is
    then node classification; the weight of a half's edges to the teacher measures
    inheritance, edges within the student its lack of diversity. Time is a forward pass of both
    networks and grows with the product of the numbers of channels.

    Args:
        student (torch.nn.Module): A network.
        teacher (torch.nn.Module): Another one, for the same samples.
        layers (tuple of str): The module of features in each.
        explore (torch.Tensor, optional): The student's channels that explore. (default: not
            known)
        bins (int, optional): Groups of samples, or classes, whose mean responses describe a
            channel. (default: :obj:`10`)
        threshold (float, optional): The least absolute correlation. (default: :obj:`0.5`)
        k (int, optional): Link each of the student's channels to the ``k`` that correlate most,
            in place of ``threshold``. (default: :obj:`None`)

    Shapes:
        - **input:** what the networks take, and classes :math:`(N)` (optional)
        - **output:** ``x`` :math:`(C, B)`: mean responses to samples of each class, or, without
          classes, to every :math:`B`-th sample; ``edge_weight``: :math:`|r|`, ``edge_attr``:
          :math:`r`

    Raises:
        ValueError: If an option is wrong, the networks see different numbers of samples, or
            classes do not fit.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from graphkit.adapters import ChannelGraphAdapter
        >>> adapter = ChannelGraphAdapter(GCN(8, 6, 2, 3), GCN(8, 4, 2, 3), ("convs.0", "convs.0"))
        >>> graph = adapter(torch.rand(9, 8), torch.randint(9, (2, 30)))
        >>> graph["student_channel"].x.shape, graph["teacher_channel"].num_nodes
        (torch.Size([6, 10]), 4)
    """

    schema = Schema(
        node={
            "student_channel": "a channel of the student's layer",
            "teacher_channel": "a channel of the teacher's layer",
        },
        edge={
            ".".join(ALIKE): "both channels answer alike; weight: |correlation|",
            ".".join(TAUGHT): "the teacher's channel answers alike; weight: |correlation|",
        },
        attributes={
            "student_channel.x": ("N", "B"),
            "student_channel.y": ("N",),
            "teacher_channel.x": ("N", "B"),
            **{
                f"{'.'.join(kind)}.{name}": shape
                for kind in (ALIKE, TAUGHT)
                for name, shape in {
                    "edge_index": (2, "E"),
                    "edge_weight": ("E",),
                    "edge_attr": ("E", 1),
                }.items()
            },
        },
        undirected={".".join(ALIKE): True, ".".join(TAUGHT): False},
        y="0: the channel inherits, 1: it explores, -1: not known; as the caller says",
    )

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        layers: tuple[str, str],
        explore: Tensor | None = None,
        bins: int = 10,
        threshold: float = 0.5,
        k: int | None = None,
    ) -> None:
        super().__init__()
        refuse_classes(teacher=teacher, student=student)
        if bins < 1 or (k is not None and k < 1):
            raise ValueError(f"'bins' and 'k' must be at least 1, got {bins} and {k}")
        self.student, self.teacher, self.layers = student, teacher, tuple(layers)
        self.explore = None if explore is None else explore.clone()
        self.bins, self.threshold, self.k = bins, threshold, k
        for network, layer in zip((student, teacher), self.layers, strict=True):
            with tap(network, layer):
                continue

    @torch.no_grad()
    def forward(self, *args: Any, y: Tensor | None = None, **kwargs: Any) -> HeteroData:
        """The graph of the channels' responses to some samples."""
        seen = []
        for network, layer in zip((self.student, self.teacher), self.layers, strict=True):
            with evaluating(network), tap(network, layer) as record:
                network(*args, **kwargs)
            seen.append(channel_responses(features(dict(record), layer)).float())
        ours, theirs = seen
        if ours.size(1) != theirs.size(1):
            raise ValueError(
                f"the layers {list(self.layers)} answer to {ours.size(1)} and {theirs.size(1)} "
                "samples"
            )
        groups = self.groups(y, ours)
        data = HeteroData()
        for kind, responses in (("student_channel", ours), ("teacher_channel", theirs)):
            x = responses.new_zeros(len(responses), self.bins).index_add_(1, groups, responses)
            count = groups.bincount(minlength=self.bins).clamp(min=1)
            data[kind].update({"x": x / count, "num_nodes": len(x)})
        label = torch.full((len(ours),), -1, device=ours.device)
        if self.explore is not None:
            label = torch.zeros_like(label).index_fill_(0, self.explore.to(label.device), 1)
        data["student_channel"].y = label
        for triple, (edges, r) in (
            (ALIKE, correlation_edges(ours, None, self.threshold, self.k)),
            (TAUGHT, correlation_edges(ours, theirs, self.threshold, self.k)),
        ):
            store = data[triple]
            store.edge_index, store.edge_weight, store.edge_attr = edges, r.abs(), r.unsqueeze(1)
        return data

    def groups(self, y: Tensor | None, responses: Tensor) -> Tensor:
        """The group of samples that each sample's response is averaged in."""
        count = responses.size(1)
        if y is None:
            return torch.arange(count, device=responses.device) % self.bins
        if y.shape != (count,) or (count and not 0 <= int(y.min()) <= int(y.max()) < self.bins):
            raise ValueError(
                f"'y' must hold {count} classes below 'bins' = {self.bins}, got {list(y.shape)}"
            )
        return y
