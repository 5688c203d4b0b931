"""Few-shot tasks as graphs of samples, classes and basis vectors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from graphkit.adapters.builders import knn_edges
from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.modes import evaluating
from graphkit.precision import normalize, wide
from graphkit.vision.class_regularization import ClassRegularization
from graphkit.words import refuse_class

__all__ = ["EpisodeGraphAdapter"]


class EpisodeGraphAdapter(GraphAdapter):
    r"""A task of :class:`~graphkit.vision.ClassRegularization` as a graph.

    What the method does is message passing from ``basis`` to ``class``: the sum of basis vectors
    with the weights of ``builds`` is the descriptor before the decoder, as
    :class:`~torch_geometric.nn.conv.SimpleConv` gives it. Heads on graphs, such as label
    propagation along ``near``, drop in. Samples are the supports, by class, then the queries.
    Memory grows with samples and classes times basis vectors.

    Args:
        model (ClassRegularization): The fitted model.
        k (int, optional): Neighbours of a sample by cosine. (default: :obj:`5`)

    Shapes:
        - **input:** supports :math:`(W, S, *)`, queries :math:`(Q, *)`, classes of the queries in
          the task :math:`(Q)` (optional)
        - **output:** ``sample.x``, ``class.x`` and ``basis.x`` :math:`(N, D)`: embeddings,
          descriptors, basis; ``sample.support`` :math:`(N)`, whether its label is given;
          ``edge_weight`` of ``builds`` and ``expresses``: :math:`a_m` of a class's mean and of a
          sample; of ``near``: :math:`(1 + \cos) / 2`

    Raises:
        ValueError: If ``k`` is below 1, or shapes do not fit.

    Example:
        >>> import torch
        >>> from graphkit.adapters import EpisodeGraphAdapter
        >>> from graphkit.vision import ClassRegularization
        >>> model = ClassRegularization(torch.nn.Flatten(), 16, num_classes=8)
        >>> graph = EpisodeGraphAdapter(model)(torch.rand(5, 2, 4, 4), torch.rand(15, 4, 4))
        >>> graph["sample"].num_nodes, graph["builds"].num_edges, graph["supports"].num_edges
        (25, 40, 10)
    """

    schema = Schema(
        node={
            "sample": "an image of the task",
            "class": "a class of the task",
            "basis": "a basis vector, shared by all tasks",
        },
        edge={
            "sample.supports.class": "a labelled image and its class",
            "basis.builds.class": "weight: share of the basis vector in the descriptor",
            "sample.expresses.basis": "weight: share of the basis vector in the image",
            "sample.near.sample": "nearest neighbours; weight: (1 + cosine) / 2",
        },
        attributes={
            "sample.x": ("N", "D"),
            "sample.y": ("N",),
            "sample.support": ("N",),
            "class.x": ("N", "D"),
            "basis.x": ("N", "D"),
            "sample.supports.class.edge_index": (2, "E"),
            "basis.builds.class.edge_index": (2, "E"),
            "basis.builds.class.edge_weight": ("E",),
            "sample.expresses.basis.edge_index": (2, "E"),
            "sample.expresses.basis.edge_weight": ("E",),
            "sample.near.sample.edge_index": (2, "E"),
            "sample.near.sample.edge_weight": ("E",),
        },
        undirected={
            "sample.supports.class": False,
            "basis.builds.class": False,
            "sample.expresses.basis": False,
            "sample.near.sample": True,
        },
        y="the class in the task, -1 where the caller does not give it; for queries to be hidden",
    )

    def __init__(self, model: ClassRegularization, k: int = 5) -> None:
        super().__init__()
        refuse_class("model", model)
        if k < 1:
            raise ValueError(f"'k' must be at least 1, got {k}")
        self.model, self.k = model, k

    @torch.no_grad()
    def forward(self, support: Tensor, query: Tensor, y: Tensor | None = None) -> HeteroData:
        """The graph of one task."""
        if support.dim() != query.dim() + 1 or support.shape[2:] != query.shape[1:]:
            raise ValueError(
                f"'support' {list(support.shape)} and 'query' {list(query.shape)} must be "
                "[W, S, *] and [Q, *]"
            )
        (ways, shots), device = support.shape[:2], query.device
        hidden = torch.full((len(query),), -1, device=device)
        y = hidden if y is None else y
        if y.shape != hidden.shape:
            raise ValueError(f"'y' has shape {list(y.shape)} for {len(query)} queries")
        model = self.model
        # A graph is looked at, not trained on: batch statistics stay, dropout is off.
        with evaluating(model):
            f = model(torch.cat([support.flatten(0, 1), query]))
        channels, labelled = model.basis.size(1), ways * shots
        given = f[:labelled].view(ways, shots, channels)
        class_of = torch.arange(ways, device=device).repeat_interleave(shots)
        number = torch.arange(len(f), device=device)
        data = HeteroData()
        data["sample"].update(
            {
                "x": f.float(),
                "y": torch.cat([class_of, y]),
                "support": number < labelled,
                "num_nodes": len(f),
            }
        )
        data["class"].update({"x": model.describe(given).float(), "num_nodes": ways})
        data["basis"].update({"x": model.basis.float(), "num_nodes": len(model.basis)})
        data["sample", "supports", "class"].edge_index = torch.stack([number[:labelled], class_of])
        mean = model.assign(given).mean(1).t()
        for kind, weight in (
            (("basis", "builds", "class"), mean),
            (("sample", "expresses", "basis"), model.assign(f)),
        ):
            # Every pair is an edge, also those of weight 0: their number must not depend on values.
            ends = torch.ones_like(weight).nonzero().t().contiguous()
            data[kind].edge_index, data[kind].edge_weight = ends, weight.flatten().float()
        near = knn_edges(f, self.k, metric="cosine")
        unit = normalize(wide(f))
        cosine = (unit[near[0]] * unit[near[1]]).sum(1)
        data["sample", "near", "sample"].edge_index = near
        data["sample", "near", "sample"].edge_weight = ((1 + cosine) / 2).clamp(0, 1).float()
        return data.detach()
