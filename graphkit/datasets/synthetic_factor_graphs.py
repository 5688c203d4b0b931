"""Graphs that are sums of a few known ones, with the truth kept."""

from __future__ import annotations

from collections.abc import Callable

import networkx as nx
import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

__all__ = ["SyntheticFactorGraphs"]

NUM_NODES = 15
TEMPLATES: dict[str, Callable[[], nx.Graph]] = {
    "turan": lambda: nx.turan_graph(5, 2),
    "house_x": nx.house_x_graph,
    "tree": lambda: nx.balanced_tree(3, 2),
    "grid": lambda: nx.grid_2d_graph(3, 3),
    "cube": lambda: nx.hypercube_graph(3),
    "octahedron": nx.octahedral_graph,
}


class SyntheticFactorGraphs(InMemoryDataset):
    r"""The synthetic graphs of the `"Factorizable Graph Convolutional Networks"
    <https://arxiv.org/abs/2010.05421>`_ paper, from a seeded generator.

    .. math::
        \mathbf{X} = \sum_{t \in T} \mathbf{P}_t \mathbf{A}_t \mathbf{P}_t^{\top}, \qquad
        \mathcal{E} = \{(i, j) : X_{ij} > 0\}, \qquad |T| = \lceil k / 2 \rceil

    Each graph overlays :math:`\lceil k/2 \rceil` different ones of the first :math:`k`
    templates (the complete bipartite graph :math:`K_{2,3}`, the house with a cross, a tree
    of 13 nodes, the grid of 9, the cube, the octahedron), each on its own random choice of
    15 nodes.  Node features are the rows of the summed adjacency :math:`\mathbf{X}`, so they
    tell where templates share an edge and are not invariant to renumbering.  The label says
    which templates are there.  With two factors a graph holds one template: it *is* its only
    factor graph, and there is nothing to disentangle.

    Nothing is written to disk; 20,000 graphs take about a second.

    Args:
        num_factors (int, optional): Number of templates :math:`k`, from 2 to 6.
            (default: :obj:`4`)
        num_graphs (int, optional): Number of graphs. (default: :obj:`20000`)
        seed (int, optional): Seed of the generator. (default: :obj:`0`)
        transform (callable, optional): Applied at every access. (default: :obj:`None`)

    Shapes:
        - **output:** per graph features :obj:`x` :math:`(15, 15)`, undirected
          :obj:`edge_index` :math:`(2, E)` without loops, labels :obj:`y` :math:`(1, k)`, and
          the truth :obj:`edge_factor` :math:`(E, k)`: which templates hold which edge

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> from graphkit.datasets import SyntheticFactorGraphs
        >>> dataset = SyntheticFactorGraphs(num_factors=4, num_graphs=10)
        >>> data = dataset[0]
        >>> data.x.shape, data.y.sum().item(), data.edge_factor.size(1)
        (torch.Size([15, 15]), 2.0, 4)
        >>> [len(part) for part in dataset.splits()]
        [7, 1, 2]
    """

    def __init__(
        self,
        num_factors: int = 4,
        num_graphs: int = 20_000,
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        super().__init__(None, transform)
        if not 2 <= num_factors <= len(TEMPLATES):
            raise ValueError(
                f"'num_factors' must be between 2 and {len(TEMPLATES)}, got {num_factors}"
            )
        if num_graphs < 1:
            raise ValueError(f"'num_graphs' must be at least 1, got {num_graphs}")
        self.num_factors = num_factors
        generator = torch.Generator().manual_seed(seed)
        layers, templates = overlay(num_factors, num_graphs, generator)
        self.data, self.slices = collated(layers, templates, num_factors)

    @property
    def num_classes(self) -> int:
        """The number of labels, any number of which may hold at once."""
        return self.num_factors

    def splits(self) -> tuple[InMemoryDataset, InMemoryDataset, InMemoryDataset]:
        """Training, validation and test graphs: 70, 10 and 20 % in the order of generation."""
        first, second = int(0.7 * len(self)), int(0.8 * len(self))
        return self[:first], self[first:second], self[second:]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)}, num_factors={self.num_factors})"


def template_adjacencies(num_factors: int) -> Tensor:
    """The first templates, padded with isolated nodes, ``[k, 15, 15]``."""
    adjacencies = np.zeros((num_factors, NUM_NODES, NUM_NODES), dtype=bool)
    for padded, make in zip(adjacencies, TEMPLATES.values(), strict=False):
        adjacency = nx.to_numpy_array(make(), dtype=bool)
        padded[: len(adjacency), : len(adjacency)] = adjacency
    return torch.from_numpy(adjacencies)


def overlay(num_factors: int, num_graphs: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Chosen templates on shuffled nodes ``[G, T, 15, 15]`` and their numbers ``[G, T]``."""
    count = (num_factors + 1) // 2
    templates = torch.rand(num_graphs, num_factors, generator=generator).argsort(1)[:, :count]
    order = torch.rand(num_graphs, count, NUM_NODES, generator=generator).argsort(2)
    layers = template_adjacencies(num_factors)[templates]
    rows, columns = order.unsqueeze(3), order.unsqueeze(2)
    layers = layers.gather(2, rows.expand_as(layers)).gather(3, columns.expand_as(layers))
    return layers, templates


def collated(layers: Tensor, templates: Tensor, num_factors: int) -> tuple[Data, dict[str, Tensor]]:
    """All graphs behind one another, as :class:`InMemoryDataset` keeps them."""
    graphs = layers.size(0)
    graph, source, target = layers.any(1).nonzero(as_tuple=True)
    truth = torch.zeros(graph.numel(), num_factors, dtype=torch.bool)
    truth.scatter_(1, templates[graph], layers[graph, :, source, target])
    y = torch.zeros(graphs, num_factors).scatter_(1, templates, 1.0)
    data = Data(
        x=layers.sum(1).float().flatten(0, 1),
        edge_index=torch.stack([source, target]),
        edge_factor=truth,
        y=y,
    )
    edges = torch.bincount(graph, minlength=graphs).cumsum(0)
    edges = torch.cat([edges.new_zeros(1), edges])
    each = torch.arange(graphs + 1)
    slices = {"x": each * NUM_NODES, "edge_index": edges, "edge_factor": edges, "y": each}
    return data, slices
