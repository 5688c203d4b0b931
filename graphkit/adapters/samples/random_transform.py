"""Images and their transformed selves, linked by steps of the transform."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.utils import coalesce

from graphkit.adapters.builders import chain_edges, knn_edges
from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.modes import evaluating
from graphkit.precision import positive, wide
from graphkit.taps import tap
from graphkit.vision.random_transform import transform2d
from graphkit.words import refuse_class

__all__ = ["OrbitGraphAdapter", "orbit_energy"]


def orbit_energy(x: Tensor, edge_index: Tensor) -> Tensor:
    r"""How much features change from step to step, against how much they vary at all.

    .. math::
        E = \sum_{(u, v) \in \mathcal{E}} \lVert x_u - x_v \rVert^2 \Big/
        \sum_v \lVert x_v - \bar x \rVert^2

    Each pair of nodes counts once, whether or not its reverse is there as well; features that
    are the same everywhere have energy 0.

    Args:
        x (torch.Tensor): Features.
        edge_index (torch.Tensor): Steps.

    Shapes:
        - **input:** :math:`(N, D)`, :math:`(2, E)`
        - **output:** :math:`()`

    Example:
        >>> import torch
        >>> from graphkit.adapters import orbit_energy
        >>> orbit_energy(torch.tensor([[0.0], [2.0]]), torch.tensor([[0, 1], [1, 0]]))
        tensor(2.)
    """
    if len(x) == 0:
        return wide(x).sum()
    pairs = coalesce(torch.stack([edge_index.amin(0), edge_index.amax(0)]), num_nodes=len(x))
    values = wide(x)
    steps = (values[pairs[0]] - values[pairs[1]]).square().sum()
    return steps / positive((values - values.mean(0)).square().sum(), 1e-30)


class OrbitGraphAdapter(GraphAdapter):
    r"""Images under a family of transforms as a graph: the orbits that
    :class:`~graphkit.vision.RandomTransform2d` is to make short.

    Node :math:`(i, g)`, number :math:`i G + g`, is image :math:`i` under transform :math:`g`. An
    image is linked to itself under the next transform, and, if asked for, to the images most like
    it under the same one. ``energy`` is that of the steps alone, see :func:`orbit_energy`: 0 is
    a network that does not see the transform. Labels propagate along the edges, and edges are
    positive pairs of contrastive losses. The model runs :math:`N = BG` times; with ``k`` time
    grows with :math:`N^2`.

    Args:
        model (torch.nn.Module): Any network of images; run in evaluation mode.
        transforms (torch.Tensor): The family in its order, as
            :func:`~graphkit.vision.transform2d` takes it.
        layer (str, optional): Name of the module whose output is ``x``, flattened.
            (default: the model itself)
        ring (bool, optional): Links the last transform to the first. (default: :obj:`False`)
        k (int, optional): Neighbours under the same transform. (default: :obj:`0`)
        padding (str, optional): What lies outside of an image. (default: ``"zeros"``)

    Shapes:
        - **input:** images :math:`(B, C, H, W)`, classes :math:`(B)` (optional)
        - **output:** ``x`` :math:`(BG, D)`; ``edge_attr`` :math:`(E, 4)`: differences of angle in
          degrees, of the factor's logarithm, of both shifts, target less source;
          ``edge_type`` :math:`(E)`: 0 a step, 1 alike; ``transform`` :math:`(BG, 4)`;
          ``orbit`` :math:`(BG)`: the image; ``energy`` :math:`(1)`

    Raises:
        ValueError: If ``transforms`` is not :math:`(G, 4)`, ``k`` is negative, or shapes do not
            fit.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from graphkit.adapters import OrbitGraphAdapter
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        >>> turns = torch.tensor([[angle, 1.0, 0.0, 0.0] for angle in (-20.0, 0.0, 20.0)])
        >>> graph = OrbitGraphAdapter(model, turns)(torch.rand(5, 1, 8, 8))
        >>> graph.x.shape, graph.num_edges
        (torch.Size([15, 10]), 20)
    """

    schema = Schema(
        node="an image under one transform",
        edge="the same image under the next transform, or an image like it under the same one",
        attributes={
            "x": ("N", "D"),
            "y": ("N",),
            "orbit": ("N",),
            "transform": ("N", 4),
            "edge_index": (2, "E"),
            "edge_attr": ("E", 4),
            "edge_type": ("E",),
            "energy": (1,),
        },
        undirected=True,
        y="the image's class as the caller gives it, -1 where it is not given",
        differentiable=("x", "energy"),
    )
    takes: ClassVar[dict[str, int]] = {"x": 4}

    transforms: Tensor

    def __init__(
        self,
        model: nn.Module,
        transforms: Tensor,
        layer: str = "",
        ring: bool = False,
        k: int = 0,
        padding: str = "zeros",
    ) -> None:
        super().__init__()
        refuse_class("model", model)
        if transforms.dim() != 2 or transforms.size(1) != 4 or not len(transforms):
            raise ValueError(f"'transforms' must be [G, 4], got {list(transforms.shape)}")
        if k < 0:
            raise ValueError(f"'k' must not be negative, got {k}")
        self.model, self.layer, self.ring, self.k = model, layer, ring, k
        self.padding = padding
        self.register_buffer("transforms", transforms.detach().float(), persistent=False)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Data:
        """The graph of some images."""
        y = torch.full((len(x),), -1, device=x.device) if y is None else y
        if y.shape != x.shape[:1]:
            raise ValueError(f"'y' has shape {list(y.shape)} for {len(x)} images")
        count = len(self.transforms)
        table = self.transforms.to(x.device).repeat(len(x), 1)
        images = transform2d(x.repeat_interleave(count, 0), table, self.padding)
        with evaluating(self.model), tap(self.model, self.layer) as record:
            self.model(images)
        features = record[self.layer].output.flatten(1)
        orbit = torch.arange(len(x), device=x.device).repeat_interleave(count)
        steps = self.steps(orbit)
        place = torch.arange(len(table), device=x.device) % count
        alike = knn_edges(features, self.k, place) if self.k else steps[:, :0]
        edges = torch.cat([steps, alike], 1)
        kind = torch.arange(edges.size(1), device=x.device) >= steps.size(1)
        edges, kind = coalesce(edges, kind.long(), num_nodes=len(table))
        table_log = torch.cat([table[:, :1], table[:, 1:2].log(), table[:, 2:]], 1)
        return Data(
            x=features.float(),
            y=y.repeat_interleave(count),
            orbit=orbit,
            transform=table,
            edge_index=edges,
            edge_attr=table_log[edges[1]] - table_log[edges[0]],
            edge_type=kind,
            energy=orbit_energy(features, steps).float().view(1),
            num_nodes=len(table),
        )

    def steps(self, orbit: Tensor) -> Tensor:
        """Edges along the orbits, in both directions."""
        steps, count = chain_edges(orbit, undirected=True), len(self.transforms)
        # Of two transforms the first is the last one's neighbour already.
        if self.ring and count > 2:
            first = torch.arange(0, len(orbit), count, device=orbit.device)
            ends = torch.stack([first, first + count - 1])
            steps = torch.cat([steps, ends, ends.flip(0)], 1)
        return steps
