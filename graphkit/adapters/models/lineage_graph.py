"""A search by evolution as a graph: who descends from whom."""

from __future__ import annotations

import torch
from torch_geometric.data import Data
from torch_geometric.utils import coalesce

from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.compress.evolution import OPERATORS, Lineage

__all__ = ["LineageGraphAdapter"]


class LineageGraphAdapter(GraphAdapter):
    r"""The individuals of all generations, linked from parents to children.

    The graph has no cycle.  A GNN on it is a surrogate of the fitness; paths to the best
    individual say which steps mattered.  Time and memory grow with :math:`G P K`.

    Args:
        none: The lineage is all there is to it.

    Shapes:
        - **input:** a :class:`~graphkit.compress.Lineage` of :math:`G` generations of :math:`P`
        - **output:** ``x`` :math:`(G P, K)`: the bits, one generation after the other; ``y``: the
          fitness; ``edge_attr`` :math:`(E, 4)`: the operator, one-hot: kept as the best, selected,
          crossed, mutated

    Raises:
        ValueError: If the parts of the lineage do not fit each other.

    Example:
        >>> import torch
        >>> from graphkit.adapters import LineageGraphAdapter
        >>> from graphkit.compress import Lineage
        >>> parents = torch.tensor([[[-1, -1], [-1, -1]], [[1, -1], [0, 1]]])
        >>> operator = torch.tensor([[-1, -1], [0, 2]])
        >>> lineage = Lineage(torch.rand(2, 2, 5) < 0.5, torch.rand(2, 2), parents, operator)
        >>> LineageGraphAdapter()(lineage).edge_index
        tensor([[0, 1, 1],
                [3, 2, 3]])
    """

    schema = Schema(
        node="an individual of a generation",
        edge="from a parent to a child",
        attributes={
            "x": ("N", "K"),
            "y": ("N",),
            "generation": ("N",),
            "edge_index": (2, "E"),
            "edge_attr": ("E", len(OPERATORS)),
        },
        y="the fitness, as the search measured it",
    )

    def forward(self, lineage: Lineage) -> Data:
        """The graph of a search."""
        generations, population, _ = lineage.bits.shape
        for name, shape in (
            ("fitness", (generations, population)),
            ("parents", (generations, population, 2)),
            ("operator", (generations, population)),
        ):
            if getattr(lineage, name).shape != shape:
                given = list(getattr(lineage, name).shape)
                raise ValueError(f"'{name}' must have shape {list(shape)}, got {given}")
        count, device = generations * population, lineage.bits.device
        child = torch.arange(count, device=device).view(generations, population, 1)
        before = child[:, :1] - population
        exists = lineage.parents >= 0
        source = (before + lineage.parents)[exists]
        target = child.expand_as(lineage.parents)[exists]
        kind = lineage.operator.unsqueeze(2).expand_as(lineage.parents)[exists]
        attr = torch.nn.functional.one_hot(kind, len(OPERATORS)).float()
        # An individual crossed with itself is its child's parent once.
        edges, attr = coalesce(torch.stack([source, target]), attr, count, reduce="max")
        return Data(
            x=lineage.bits.flatten(0, 1).float(),
            y=lineage.fitness.flatten().float().detach(),
            generation=child.expand(-1, -1, 1)[:, :, 0].flatten() // max(population, 1),
            edge_index=edges,
            edge_attr=attr,
            num_nodes=count,
        )
