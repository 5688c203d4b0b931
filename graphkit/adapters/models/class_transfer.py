"""Classes and the weights that tell them as a graph."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from graphkit.adapters.builders import knn_edges
from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.precision import normalize

__all__ = ["ClassTransferGraphAdapter"]


class ClassTransferGraphAdapter(GraphAdapter):
    r"""Which class looks like which, and what its localisers are to be: the weight transfer of
    an :class:`~graphkit.vision.AherNet` as node regression with masked labels.

    A head is one class at one level; its features classify the class there, its label, known
    for base classes, localises it. The paper's transfer is a network of single heads; any layer
    on ``head.similar.head`` is one that looks at neighbours as well. Time grows with the square
    of classes.

    Args:
        k (int, optional): Most similar classes that a class hears. (default: :obj:`3`)

    Shapes:
        - **input:** weights that classify :math:`(L, K, D)`, weights that localise
          :math:`(L, K, D)`, whether these are known :math:`(K)`, as
          :meth:`AherNet.class_weights` gives them
        - **output:** ``class.x`` :math:`(K, L D)`; ``head.x`` and ``head.y`` :math:`(L K, D)`,
          levels one after another; ``edge_weight`` of ``similar``: cosine

    Raises:
        ValueError: If shapes do not fit, or weights are not finite.

    Example:
        >>> from graphkit.adapters import ClassTransferGraphAdapter
        >>> from graphkit.vision import AherNet
        >>> model = AherNet(8, base=3, target=2, channels=4, num_levels=2)
        >>> graph = ClassTransferGraphAdapter(k=1)(*model.class_weights())
        >>> graph["class"].x.shape, graph["head"].y.shape, int(graph["head"].known.sum())
        (torch.Size([5, 10]), torch.Size([10, 5]), 6)
    """

    schema = Schema(
        node={
            "class": "a class",
            "level": "a level of the pyramid",
            "head": "what tells a class at a level",
        },
        edge={
            "class.similar.class": "is classified by like weights; weight: their cosine",
            "class.generates.head": "is what the head tells",
            "level.holds.head": "is where the head is",
            "head.similar.head": "tells a like class at the same level; weight: cosine of classes",
        },
        attributes={
            "class.x": ("N", "W"),
            "class.known": ("N",),
            "level.x": ("N", 1),
            "head.x": ("N", "D"),
            "head.y": ("N", "D"),
            "head.known": ("N",),
            "head.level": ("N",),
            "class.similar.class.edge_index": (2, "E"),
            "class.similar.class.edge_weight": ("E",),
            "class.generates.head.edge_index": (2, "E"),
            "level.holds.head.edge_index": (2, "E"),
            "head.similar.head.edge_index": (2, "E"),
            "head.similar.head.edge_weight": ("E",),
        },
        undirected={
            "class.similar.class": True,
            "class.generates.head": False,
            "level.holds.head": False,
            "head.similar.head": True,
        },
        y="the weights that localise the class at the level, 0 where they are not known",
        differentiable=(
            "class.x",
            "head.x",
            "head.y",
            "class.similar.class.edge_weight",
            "head.similar.head.edge_weight",
        ),
    )

    def __init__(self, k: int = 3) -> None:
        super().__init__()
        if k < 1:
            raise ValueError(f"'k' must be at least 1, got {k}")
        self.k = k

    def forward(self, classified: Tensor, located: Tensor, known: Tensor) -> HeteroData:
        """The graph of one network's classes."""
        if classified.dim() != 3 or located.shape != classified.shape:
            raise ValueError(
                f"'classified' and 'located' must be [L, K, D], got {list(classified.shape)} and "
                f"{list(located.shape)}"
            )
        levels, classes, _ = classified.shape
        if known.shape != (classes,):
            raise ValueError(f"'known' must be [{classes}], got {list(known.shape)}")
        if not (classified.isfinite().all() and located.isfinite().all()):
            raise ValueError("'classified' or 'located' holds NaN or infinite values")
        known = known.bool()
        # A class is what it is at all levels: heads of one level alone are easily confused.
        x = classified.transpose(0, 1).flatten(1)
        similar = knn_edges(x, self.k, metric="cosine") if classes > 1 else known.new_empty(2, 0)
        similar = similar.long()
        unit = normalize(x, dim=1)
        cosine = (unit[similar[0]] * unit[similar[1]]).sum(1)
        level = torch.arange(levels, device=x.device)
        kind = torch.arange(classes, device=x.device)
        head = torch.arange(levels * classes, device=x.device).view(levels, classes)
        data = HeteroData()
        data["class"].update({"x": x.float(), "known": known, "num_nodes": classes})
        depth = (level.float() / max(levels - 1, 1)).unsqueeze(1)
        data["level"].update({"x": depth, "num_nodes": levels})
        data["head"].update(
            {
                "x": classified.flatten(0, 1).float(),
                "y": (located * known.view(1, -1, 1)).flatten(0, 1).float(),
                "known": known.repeat(levels),
                "level": level.repeat_interleave(classes),
                "num_nodes": levels * classes,
            }
        )
        data["class", "similar", "class"].update(
            {"edge_index": similar, "edge_weight": cosine.float()}
        )
        # Sorted by class, although heads are numbered by level.
        data["class", "generates", "head"].edge_index = torch.stack(
            [kind.repeat_interleave(levels), head.t().flatten()]
        )
        data["level", "holds", "head"].edge_index = torch.stack(
            [level.repeat_interleave(classes), head.flatten()]
        )
        # The same neighbours at each level, whose heads follow one another.
        moved = similar.unsqueeze(1) + (level * classes).view(1, -1, 1)
        data["head", "similar", "head"].update(
            {"edge_index": moved.flatten(1), "edge_weight": cosine.float().repeat(levels)}
        )
        return data
