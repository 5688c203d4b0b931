"""Where mixed images come from, as a graph."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.utils import coalesce

from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.modes import evaluating
from graphkit.taps import tap
from graphkit.vision.snapmix import Mixed
from graphkit.words import refuse_class

__all__ = ["ProvenanceGraphAdapter"]


class ProvenanceGraphAdapter(GraphAdapter):
    r"""Images and what :class:`~graphkit.vision.SnapMix` made of them: one message pass of the
    labels along the weighted edges gives the soft labels of the mixed images.

    .. math::
        \tilde Y = A_\rho^\top Y, \qquad A_{i, B + j} = \rho

    Images are first, mixed ones behind them in the same order. An image that is its own donor has
    one edge, of both weights. Labels can be audited along the edges, and the embeddings of both
    ends compared. The model runs on :math:`2B` images.

    Args:
        model (torch.nn.Module): The network, run in evaluation mode.
        layer (str): Name of the module whose output is ``x``, averaged over places.
        num_classes (int): Classes.

    Shapes:
        - **input:** images :math:`(B, C, H, W)`, what they were mixed to
        - **output:** ``x`` :math:`(2B, D)`; ``y`` :math:`(2B, K)`, one-hot for images;
          ``edge_weight`` :math:`(E)`: :math:`\rho`; ``edge_attr`` :math:`(E, 11)`: whether the
          image receives and whether it gives, the replaced box and the box taken (top, left,
          bottom, right, as shares of the sides), the second's area over the first's

    Raises:
        ValueError: If there are fewer than 1 class, or shapes do not fit.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from graphkit.adapters import ProvenanceGraphAdapter
        >>> from graphkit.vision import SnapMix
        >>> maps = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU())
        >>> model = nn.Sequential(maps, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
        >>> x, y = torch.rand(4, 1, 9, 9), torch.tensor([0, 1, 2, 3])
        >>> mixed = SnapMix(model, "0", "3").mix(x, y)
        >>> ProvenanceGraphAdapter(model, "0", 5)(x, mixed).x.shape
        torch.Size([8, 8])
    """

    schema = Schema(
        node="an image, or a mixed image",
        edge="from an image to what it went into; weight: how much its label counts there",
        attributes={
            "x": ("N", "D"),
            "y": ("N", "K"),
            "mixed": ("N",),
            "edge_index": (2, "E"),
            "edge_weight": ("E",),
            "edge_attr": ("E", 11),
        },
        y="the class as one-hot, of mixed images with the weights of both labels",
    )
    takes: ClassVar[dict[str, int]] = {"x": 4}

    def __init__(self, model: nn.Module, layer: str, num_classes: int) -> None:
        super().__init__()
        refuse_class("model", model)
        if num_classes < 1:
            raise ValueError(f"'num_classes' must be at least 1, got {num_classes}")
        self.model, self.layer, self.num_classes = model, layer, num_classes

    @torch.no_grad()
    def forward(self, x: Tensor, mixed: Mixed) -> Data:
        """The graph of one batch."""
        count = len(x)
        if mixed.x.shape != x.shape or len(mixed.donor) != count:
            raise ValueError(f"'mixed' has {list(mixed.x.shape)} for images {list(x.shape)}")
        with evaluating(self.model), tap(self.model, self.layer) as record:
            self.model(torch.cat([x, mixed.x]))
        features = record[self.layer].output
        features = features.flatten(2).mean(2) if features.dim() > 2 else features
        own = torch.arange(count, device=x.device)
        edges = torch.stack([torch.cat([own, mixed.donor]), torch.cat([own, own]) + count])
        weight = torch.cat([mixed.weight_a, mixed.weight_b]).float()
        role = torch.arange(2 * count, device=x.device) >= count
        place = self.places(mixed, x).expand(2 * count, -1)
        about = torch.cat([torch.stack([~role, role], 1).float(), place], 1)
        # The edges of an image that is its own donor are one: roles join, weights add up.
        both, about = coalesce(edges, about, num_nodes=2 * count, reduce="max")
        _, weight = coalesce(edges, weight, num_nodes=2 * count, reduce="sum")
        given = torch.nn.functional.one_hot(mixed.y_a, self.num_classes).float()
        return Data(
            x=features.float(),
            y=torch.cat([given, mixed.targets(self.num_classes).float()]),
            mixed=torch.arange(2 * count, device=x.device) >= count,
            edge_index=both,
            edge_weight=weight,
            edge_attr=about,
            num_nodes=2 * count,
        )

    def places(self, mixed: Mixed, x: Tensor) -> Tensor:
        """Both boxes as shares of the sides, and the ratio of their areas ``[1, 9]``."""
        boxes = torch.tensor([[*mixed.box_a], [*mixed.box_b]], dtype=torch.float, device=x.device)
        boxes = boxes / boxes.new_tensor([x.size(2), x.size(3)] * 2)
        size = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        # Nothing was replaced where nothing was mixed.
        ratio = torch.where(size[:1] > 0, size[1:] / size[:1], torch.zeros_like(size[:1]))
        return torch.cat([boxes.flatten(), ratio]).unsqueeze(0)
