"""Mini-batches of nodes with the paths they attend to."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader import NodeLoader
from torch_geometric.sampler import BaseSampler, NodeSamplerInput, SamplerOutput

from graphkit.catalog import method
from graphkit.ops import PathIndex
from graphkit.ops.paths.searches.portable import rank_in_group

CARD: dict[str, Any] = {
    "paper": "arXiv:2101.03464",
    "title": "SPAGAN: Shortest Path Graph Attention Network",
    "authors": "Yiding Yang, Xinchao Wang, Mingli Song, Junsong Yuan, Dacheng Tao",
    "venue": "IJCAI 2019",
    "year": 2019,
    "code": "https://github.com/ihollywhy/SPAGAN",
    "licence": "none",
    "deviations": ["the paper trains full batches only"],
    "verified_by": "tests/sampling/test_path_sampler.py",
}


@method(takes="seed nodes", gives="seeds, their paths and the nodes on them", **CARD)
class PathSampler(BaseSampler):
    r"""Samples what a stack of layers over edges and paths, as in the `"SPAGAN: Shortest Path
    Graph Attention Network" <https://arxiv.org/abs/2101.03464>`_ paper, reads for some nodes.

    .. math::
        \mathcal{C}_L = \text{seeds}, \qquad \mathcal{C}_{l} = \mathcal{C}_{l + 1} \cup
        \{ j : (j, i) \in \mathcal{E}, \; i \in \mathcal{C}_{l + 1} \}

    The first layer attends to edges and paths, those behind it to edges.  A batch holds all
    edges into and all paths from :math:`\mathcal{C}_1`, and the nodes on them: for the seeds
    the network gives exactly what it gives on the whole graph, unless
    :obj:`num_neighbors` bounds how many are drawn.  The graph is sorted once,
    :math:`\mathcal{O}(E \log E)`; a batch costs no more than what it holds.

    Args:
        data (Data): The graph.
        cost (torch.Tensor, optional): Edge costs ``[E]``; 1 everywhere if not given.
            (default: :obj:`None`)
        max_nodes (int, optional): Most nodes on a path. (default: :obj:`3`)
        ratio (float, optional): Paths kept per node and length, as a share of its degree.
            (default: :obj:`0.5`)
        num_layers (int, optional): Layers of the network. (default: :obj:`2`)
        num_neighbors (int, optional): Most edges, and most paths per length, drawn for a
            node; :obj:`-1` takes all. (default: :obj:`-1`)

    Shapes:
        - **input:** seeds :math:`(S)`
        - **output:** a :class:`~torch_geometric.sampler.SamplerOutput` with the seeds first
          among its nodes and the paths :math:`c \mapsto (P_c, c)` as ``metadata[2]``

    Raises:
        ValueError: If the graph has no edges tensor, or an option is out of range.

    Example:
        >>> from torch_geometric.datasets import KarateClub
        >>> from torch_geometric.sampler import NodeSamplerInput
        >>> from graphkit.sampling import PathSampler
        >>> sampler = PathSampler(KarateClub()[0])
        >>> seeds = torch.tensor([5, 7])
        >>> sampler.sample_from_nodes(NodeSamplerInput(None, seeds)).node[:2]
        tensor([5, 7])
    """

    def __init__(
        self,
        data: Data,
        cost: Tensor | None = None,
        max_nodes: int = 3,
        ratio: float = 0.5,
        num_layers: int = 2,
        num_neighbors: int = -1,
    ) -> None:
        if not isinstance(data, Data) or data.edge_index is None:
            raise ValueError("'data' must be a Data object with an edge_index")
        if num_layers < 1 or num_neighbors < -1:
            raise ValueError(
                "'num_layers' must be at least 1 and 'num_neighbors' at least -1, "
                f"got {num_layers} and {num_neighbors}"
            )
        self.max_nodes, self.ratio = max_nodes, ratio
        self.num_layers, self.num_neighbors = num_layers, num_neighbors
        self.index = PathIndex(data.edge_index.flip(0), cost, data.num_nodes)
        self.source = data.edge_index[0]
        self.edge = torch.argsort(data.edge_index[1], stable=True)
        self.degree = torch.bincount(data.edge_index[1], minlength=self.index.num_nodes)
        self.start = self.degree.cumsum(0) - self.degree

    def sample_from_nodes(self, index: NodeSamplerInput, **kwargs: Any) -> SamplerOutput:
        """The edges, paths and nodes behind some seeds."""
        seeds = index.node
        centres = seeds.unique()
        for _ in range(self.num_layers - 1):
            edge, _ = self.edges_into(centres)
            centres = torch.cat([centres, self.source[edge]]).unique()
        edge, target = self.edges_into(centres)
        queried = self.index.query(centres, self.max_nodes, self.ratio)
        paths = {c: self.drawn(rows, rows[:, 0]) for c, rows in queried.items() if c > 2}
        pieces = [seeds, centres, self.source[edge], *(rows.flatten() for rows in paths.values())]
        names = torch.cat(pieces).unique()
        others = names[~torch.isin(names, seeds)]
        node = torch.cat([seeds, others])
        # A seed that comes again is a row of its own; others refer to the first of its rows.
        name = torch.searchsorted(names, node)
        first = torch.full_like(names, node.numel())
        first.scatter_reduce_(0, name, torch.arange(node.numel()), "amin")

        def local(nodes: Tensor) -> Tensor:
            rows = first[torch.searchsorted(names, nodes.contiguous())]
            return rows if names.numel() == node.numel() else with_copies(rows, first[name])

        ends = torch.stack([target, self.source[edge]], dim=1)
        if names.numel() < node.numel():
            copies = torch.bincount(name)[torch.searchsorted(names, target.contiguous())]
            edge = edge.repeat_interleave(copies)
        ends = local(ends)
        return SamplerOutput(
            node=node,
            row=ends[:, 1],
            col=ends[:, 0],
            edge=edge,
            metadata=(index.input_id, index.time, {c: local(rows) for c, rows in paths.items()}),
        )

    def sample_from_edges(self, index: Any, **kwargs: Any) -> SamplerOutput:
        """Paths belong to nodes, so edges are no seeds here."""
        raise NotImplementedError("PathSampler samples for nodes; pass the edges' ends as seeds")

    def edges_into(self, centres: Tensor) -> tuple[Tensor, Tensor]:
        """Numbers of the edges drawn for these nodes, and the node of each."""
        degree = self.degree[centres]
        owner = torch.repeat_interleave(degree)
        offset = torch.arange(owner.numel()) - (degree.cumsum(0) - degree)[owner]
        edge = self.edge[self.start[centres][owner] + offset]
        pairs = self.drawn(torch.stack([edge, centres[owner]], dim=1), owner)
        return pairs[:, 0], pairs[:, 1]

    def drawn(self, rows: Tensor, owner: Tensor) -> Tensor:
        """At most ``num_neighbors`` rows of each owner, without replacement."""
        if self.num_neighbors < 0:
            return rows
        order = torch.randperm(owner.numel())
        order = order[torch.argsort(owner[order], stable=True)]
        _, group = torch.unique_consecutive(owner[order], return_inverse=True)
        size = int(group[-1]) + 1 if group.numel() else 0
        drawn_first = rank_in_group(group, size) < self.num_neighbors
        return rows[order[drawn_first].sort().values]


def with_copies(rows: Tensor, first: Tensor) -> Tensor:
    """Rows of a graph in which some nodes stand several times, once for each of their centre.

    A centre that is met again within a row is the same copy of it, so that loops stay loops.

    Args:
        rows (torch.Tensor): Nodes, the centre in front, each by the first of its places.
        first (torch.Tensor): The first place of the node at each place.

    Shapes:
        - **input:** :math:`(R, c)` and :math:`(N)`
        - **output:** :math:`(R', c)`
    """
    places = torch.argsort(first, stable=True)
    count = torch.bincount(first, minlength=first.numel())
    start = count.cumsum(0) - count
    centre = rows[:, 0]
    owner = torch.repeat_interleave(count[centre])
    offset = torch.arange(owner.numel()) - (count[centre].cumsum(0) - count[centre])[owner]
    rows, copy = rows[owner], places[start[centre[owner]] + offset].unsqueeze(1)
    return torch.where(rows == rows[:, :1], copy, rows)


@method(takes="a graph and seed nodes", gives="batches with path_index_c attributes", **CARD)
class PathLoader(NodeLoader):
    r"""Batches of a graph for networks that attend to shortest paths, as in the `"SPAGAN:
    Shortest Path Graph Attention Network" <https://arxiv.org/abs/2101.03464>`_ paper.

    .. math::
        \mathcal{B} = \left( \mathcal{C}_1, \{ (j, i) : i \in \mathcal{C}_1 \},
        \{ p \in \mathcal{P}_i : i \in \mathcal{C}_1 \} \right)

    A :class:`~torch_geometric.loader.NodeLoader` with a :class:`PathSampler`: batches are
    :class:`~torch_geometric.data.Data` with the seeds in the first ``batch_size`` rows and
    ``path_index_c`` of shape ``[c, P]`` for :func:`graphkit.transforms.paths_of`.

    Seeds may repeat, as those of a weighted sampler do: each repetition is a row of its own, with
    all edges and paths into it.

    Args:
        data (Data): The graph.
        node_sampler (PathSampler): What draws from it.
        input_nodes (torch.Tensor, optional): Seeds, as indices or a mask.
            (default: all nodes)
        **kwargs (optional): Arguments of :class:`~torch_geometric.loader.NodeLoader` and of
            :class:`torch.utils.data.DataLoader`, such as :obj:`batch_size`, or :obj:`sampler` for
            a :class:`~torch.utils.data.DistributedSampler` over the seeds. (A
            :class:`PathSampler` given as :obj:`sampler` is the :obj:`node_sampler`, which once
            had this name.)

    Shapes:
        - **input:** a graph of :math:`N` nodes
        - **output:** graphs with the nodes of each batch

    Raises:
        TypeError: If there is no :class:`PathSampler`.

    Example:
        >>> from torch_geometric.datasets import KarateClub
        >>> from graphkit.sampling import PathLoader, PathSampler
        >>> data = KarateClub()[0]
        >>> batch = next(iter(PathLoader(data, PathSampler(data), batch_size=4)))
        >>> batch.batch_size, batch.path_index_3.size(0)
        (4, 3)
    """

    def __init__(
        self,
        data: Data,
        node_sampler: PathSampler | None = None,
        input_nodes: Any = None,
        **kwargs: Any,
    ) -> None:
        if node_sampler is None and isinstance(kwargs.get("sampler"), BaseSampler):
            node_sampler = kwargs.pop("sampler")
        if not isinstance(node_sampler, PathSampler):
            raise TypeError(
                f"'node_sampler' must be a PathSampler, got {type(node_sampler).__name__}; "
                "samplers of torch.utils.data go by 'sampler'"
            )
        super().__init__(data, node_sampler, input_nodes, **kwargs)

    def filter_fn(self, out: Any) -> Any:
        """Adds the paths to PyG's batch."""
        batch = super().filter_fn(out)
        for length, paths in out.metadata[2].items():
            batch[f"path_index_{length}"] = paths.t().contiguous()
        return batch
