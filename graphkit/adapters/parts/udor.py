"""Objects that UDOR finds in images, as a graph."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from graphkit.adapters.builders import complete_edges
from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.precision import normalize, positive
from graphkit.vision.udor import UDOR
from graphkit.words import refuse_class

__all__ = ["ObjectGraphAdapter"]


class ObjectGraphAdapter(GraphAdapter):
    r"""Images, the objects that :class:`~graphkit.vision.UDOR` finds in them, and categories.

    .. math::
        \mathcal{V}_{object} = \{(i, k) : \lVert z_{ik} \rVert_2 > \tau\}

    An object is numbered by image, then by part. Editing is deleting: :meth:`decode` gives the
    images of a graph from which objects were taken. Time and memory grow with :math:`B K^2`.

    Args:
        model (UDOR): The fitted model.
        tau (float, optional): Least length of an object's code. (default: :obj:`1.0`)

    Shapes:
        - **input:** images :math:`(B, C, S, S)`
        - **output:** ``image.x`` :math:`(B, K D)`, all codes; ``object.x`` :math:`(N, D)`, its
          code; ``category.x`` :math:`(K, D)`, mean code of its objects; ``edge_weight`` of
          ``is_a`` :math:`(N K)`, probability; ``edge_weight`` of ``with`` :math:`(E)`, cosine of
          the codes

    Raises:
        ValueError: If ``tau`` is negative.

    Example:
        >>> import torch
        >>> from graphkit.adapters import ObjectGraphAdapter
        >>> from graphkit.vision import UDOR
        >>> graph = ObjectGraphAdapter(UDOR(1, 8, num_parts=3), tau=0.0)(torch.rand(2, 1, 8, 8))
        >>> graph["object"].num_nodes, graph["with"].num_edges, graph["is_a"].num_edges
        (6, 12, 18)
    """

    schema = Schema(
        node={
            "image": "an image",
            "object": "a part of its code that is not empty",
            "category": "a part of the model",
        },
        edge={
            "image.contains.object": "the image shows the object",
            "object.is_a.category": "weight: probability of the category",
            "object.with.object": "both in the same image; weight: cosine of their codes",
        },
        attributes={
            "image.x": ("N", "W"),
            "object.x": ("N", "D"),
            "object.part": ("N",),
            "object.image": ("N",),
            "object.presence": ("N",),
            "category.x": ("N", "D"),
            "image.contains.object.edge_index": (2, "E"),
            "object.is_a.category.edge_index": (2, "E"),
            "object.is_a.category.edge_weight": ("E",),
            "object.with.object.edge_index": (2, "E"),
            "object.with.object.edge_weight": ("E",),
        },
        undirected={
            "image.contains.object": False,
            "object.is_a.category": False,
            "object.with.object": True,
        },
        differentiable=(
            "image.x",
            "object.x",
            "object.presence",
            "category.x",
            "object.is_a.category.edge_weight",
            "object.with.object.edge_weight",
        ),
    )

    takes: ClassVar[dict[str, int]] = {"x": 4}

    def __init__(self, model: UDOR, tau: float = 1.0) -> None:
        super().__init__()
        refuse_class("model", model)
        if tau < 0:
            raise ValueError(f"'tau' must not be negative, got {tau}")
        self.model, self.tau = model, tau

    def forward(self, x: Tensor) -> HeteroData:
        """The graph of some images."""
        codes, count = self.model.encode(x), self.model.num_parts
        presence = positive(codes.square().sum(2)).sqrt()
        image, part = (presence > self.tau).nonzero().unbind(1)
        present = codes[image, part]
        number = torch.arange(len(part), device=x.device)
        kind = torch.arange(count, device=x.device)
        mean = codes.new_zeros(count, codes.size(2)).index_add(0, part, present)
        mean = mean / part.bincount(minlength=count).clamp(min=1).unsqueeze(1)
        pairs = complete_edges(image)
        unit = normalize(present, dim=1)
        data = HeteroData()
        data["image"].update({"x": codes.flatten(1).float(), "num_nodes": len(x)})
        data["object"].update(
            {
                "x": present.float(),
                "part": part,
                "image": image,
                "presence": presence[image, part].float(),
                "num_nodes": len(part),
            }
        )
        data["category"].update({"x": mean.float(), "num_nodes": count})
        data["image", "contains", "object"].edge_index = torch.stack([image, number])
        is_a = data["object", "is_a", "category"]
        is_a.edge_index = torch.stack([number.repeat_interleave(count), kind.repeat(len(part))])
        is_a.edge_weight = self.model.categories(present)[:, :-1].flatten().float()
        together = data["object", "with", "object"]
        together.edge_index = pairs
        together.edge_weight = (unit[pairs[0]] * unit[pairs[1]]).sum(1).float()
        return data

    def decode(self, graph: HeteroData) -> Tensor:
        """The images that the objects of a graph make, ``[B, C, S, S]``."""
        node = graph["object"]
        size = (graph["image"].num_nodes, self.model.num_parts, self.model.part_channels)
        codes = node.x.new_zeros(size)
        return self.model.decode(codes.index_put((node.image, node.part), node.x))
