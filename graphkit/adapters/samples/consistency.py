"""Samples that cluster together over time, and samples in two views, as graphs."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.utils import coalesce

from graphkit.adapters.builders import complete_edges, knn_edges
from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.precision import normalize
from graphkit.vision.reid.consistency_clustering import ConsistencyClustering
from graphkit.words import refuse_class

__all__ = ["CoassociationGraphAdapter", "TwoViewGraphAdapter"]


class CoassociationGraphAdapter(GraphAdapter):
    r"""Who was in one cluster with whom over some rounds: the graph of *temporal* consistency.

    .. math::
        w_{ij} = \frac{1}{R} \sum_r [\, y^r_i = y^r_j \ne -1 \,]

    An edge stands for every pair that was ever in one cluster. Connected components of strong
    edges are clusterings by evidence accumulation; whether an edge joins one identity is a link
    prediction that may learn on stable samples and be asked about the others. Time and memory grow
    with :math:`R` times the number of pairs within clusters.

    Args:
        last (int, optional): How many rounds back. (default: all that are given)

    Shapes:
        - **input:** labels of each round :math:`(R, N)`, the last one now, -1 for outliers, as
          :class:`~graphkit.vision.ClusteringRounds` keeps them; embeddings :math:`(N, F)`; those of
          another view :math:`(N, F)` and identities :math:`(N)` (both optional)
        - **output:** ``x`` :math:`(N, F)`; ``cluster`` :math:`(N)`: the label now; ``stability``
          :math:`(N)`: the share of rounds with the same label as now; ``edge_attr``
          :math:`(E, 3)`: :math:`w`, the cosine, and the cosine of one view with the other

    Raises:
        ValueError: If shapes do not fit, there is no round, or ``last`` is below 1.

    Example:
        >>> import torch
        >>> from graphkit.adapters import CoassociationGraphAdapter
        >>> history = torch.tensor([[0, 0, 1, -1], [0, 0, 0, -1]])
        >>> graph = CoassociationGraphAdapter()(history, torch.eye(4))
        >>> graph.edge_index[:, graph.edge_attr[:, 0] == 1]
        tensor([[0, 1],
                [1, 0]])
        >>> graph.stability
        tensor([1.0000, 1.0000, 0.5000, 1.0000])
    """

    schema = Schema(
        node="a sample that was clustered in several rounds",
        edge="in one cluster at least once; share of rounds, cosine, cosine across views",
        attributes={
            "x": ("N", "F"),
            "y": ("N",),
            "cluster": ("N",),
            "stability": ("N",),
            "edge_index": (2, "E"),
            "edge_attr": ("E", 3),
        },
        undirected=True,
        y="the identity as the caller gives it, -1 where it is not given",
        differentiable=("x", "edge_attr"),
    )

    takes: ClassVar[dict[str, int]] = {"history": 2, "x": 2}

    def __init__(self, last: int | None = None) -> None:
        super().__init__()
        if last is not None and last < 1:
            raise ValueError(f"'last' must be at least 1, got {last}")
        self.last = last

    def forward(
        self, history: Tensor, x: Tensor, other: Tensor | None = None, y: Tensor | None = None
    ) -> Data:
        """The graph of the samples."""
        if history.size(0) == 0 or history.size(1) != len(x):
            raise ValueError(
                f"'history' must be [R, N] with a round at least, got {list(history.shape)} for "
                f"{len(x)} samples"
            )
        history = history if self.last is None else history[-self.last :]
        other = x if other is None else other
        y = torch.full((len(x),), -1, device=x.device) if y is None else y
        if other.shape != x.shape or y.shape != x.shape[:1]:
            raise ValueError(
                f"'other' {list(other.shape)} and 'y' {list(y.shape)} do not fit 'x' "
                f"{list(x.shape)}"
            )
        # An outlier is in a cluster of its own, with no pair.
        alone = (
            torch.arange(len(x), device=x.device) + history.max().clamp(min=0) + 1 if len(x) else y
        )
        rounds = [torch.where(labels < 0, alone, labels) for labels in history]
        pairs = torch.cat([complete_edges(labels) for labels in rounds], 1)
        share = torch.full((pairs.size(1),), 1 / len(history), device=x.device)
        edges, share = coalesce(pairs, share, num_nodes=len(x), reduce="sum")
        source, target = edges
        unit, across = normalize(x, dim=1), normalize(other, dim=1)
        cosine = (unit[source] * unit[target]).sum(1)
        # Either view of either end, so that both directions of an edge carry the same.
        mixed = (unit[source] * across[target] + across[source] * unit[target]).sum(1) / 2
        return Data(
            x=x.float(),
            y=y,
            cluster=history[-1],
            stability=(history == history[-1]).float().mean(0),
            edge_index=edges,
            edge_attr=torch.stack([share.clamp(max=1.0), cosine, mixed], 1).float(),
            num_nodes=len(x),
        )


class TwoViewGraphAdapter(GraphAdapter):
    r"""Images and two views of each as a graph: the graph of *visual* consistency.

    The two views of an image are linked by ``same_image``, the positive pairs of contrastive
    learning, and to the image by ``of``; within a view, ``near`` links the nearest by cosine.
    Time is that of the encoder and grows with :math:`N^2` for neighbours; memory with
    :math:`N (F + k)`.

    Args:
        model (ConsistencyClustering): The encoder.
        k (int, optional): Neighbours within a view. (default: :obj:`5`)

    Shapes:
        - **input:** two views, each what the encoder takes, and identities :math:`(N)` (optional)
        - **output:** ``view1.x`` and ``view2.x`` :math:`(N, F)`: unit embeddings; ``image.x``
          :math:`(N, F)`: their mean; ``edge_weight`` of ``same_image`` :math:`(N)`: their cosine

    Raises:
        ValueError: If ``k`` is below 1 or lengths differ.

    Example:
        >>> import torch
        >>> from graphkit.adapters import TwoViewGraphAdapter
        >>> from graphkit.vision import ConsistencyClustering
        >>> model = ConsistencyClustering(torch.nn.Linear(6, 4), 4, max_clusters=3)
        >>> x = torch.rand(9, 6)
        >>> graph = TwoViewGraphAdapter(model, k=2)(x, x + 0.1)
        >>> graph["view1", "same_image", "view2"].edge_index.shape
        torch.Size([2, 9])
    """

    schema = Schema(
        node={"image": "an image", "view1": "one view of it", "view2": "another view"},
        edge={
            "view1.same_image.view2": "of one image; weight: cosine of the embeddings",
            "view1.of.image": "a view of the image",
            "view2.of.image": "a view of the image",
            "view1.near.view1": "one of the other's nearest",
            "view2.near.view2": "one of the other's nearest",
        },
        attributes={
            "image.x": ("N", "F"),
            "image.y": ("N",),
            "view1.x": ("N", "F"),
            "view2.x": ("N", "F"),
            "view1.same_image.view2.edge_index": (2, "E"),
            "view1.same_image.view2.edge_weight": ("E",),
            "view1.of.image.edge_index": (2, "E"),
            "view2.of.image.edge_index": (2, "E"),
            "view1.near.view1.edge_index": (2, "E"),
            "view2.near.view2.edge_index": (2, "E"),
        },
        undirected={
            "view1.same_image.view2": False,
            "view1.of.image": False,
            "view2.of.image": False,
            "view1.near.view1": True,
            "view2.near.view2": True,
        },
        y="the identity as the caller gives it, -1 where it is not given",
    )

    def __init__(self, model: ConsistencyClustering, k: int = 5) -> None:
        super().__init__()
        refuse_class("model", model)
        if k < 1:
            raise ValueError(f"'k' must be at least 1, got {k}")
        self.model, self.k = model, k

    @torch.no_grad()
    def forward(self, first: Any, second: Any, y: Tensor | None = None) -> HeteroData:
        """The graph of the images that both views are of."""
        f = [
            self.model.embed(*(view if isinstance(view, tuple) else (view,))).float()
            for view in (first, second)
        ]
        y = torch.full((len(f[0]),), -1, device=f[0].device) if y is None else y
        if f[1].shape != f[0].shape or y.shape != f[0].shape[:1]:
            raise ValueError(
                f"there are {len(f[0])} and {len(f[1])} embeddings, and 'y' has shape "
                f"{list(y.shape)}"
            )
        data, same = HeteroData(), torch.arange(len(y), device=f[0].device)
        data["image"].update({"x": (f[0] + f[1]) / 2, "y": y, "num_nodes": len(y)})
        for name, x in zip(("view1", "view2"), f, strict=True):
            data[name].update({"x": x, "num_nodes": len(y)})
            data[name, "of", "image"].edge_index = torch.stack([same, same])
            data[name, "near", name].edge_index = knn_edges(x, self.k, metric="cosine")
        store = data["view1", "same_image", "view2"]
        store.edge_index, store.edge_weight = torch.stack([same, same]), (f[0] * f[1]).sum(1)
        return data
