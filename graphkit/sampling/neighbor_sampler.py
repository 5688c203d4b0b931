"""Neighbours drawn hop by hop, with numba in place of pyg-lib."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import get_worker_info
from torch_geometric.data import Data, FeatureStore, GraphStore, HeteroData
from torch_geometric.sampler import (
    BaseSampler,
    EdgeSamplerInput,
    HeteroSamplerOutput,
    NegativeSampling,
    NodeSamplerInput,
    SamplerOutput,
)
from torch_geometric.sampler.base import DataType, NumNeighbors, SubgraphType
from torch_geometric.sampler.neighbor_sampler import edge_sample, node_sample

from graphkit.catalog import method
from graphkit.sampling.growth import Plan, Sampled, as_tensor, grow, join, mix
from graphkit.sampling.relations import Relations, as_times, from_data, from_hetero, from_stores

CARD: dict[str, Any] = {
    "paper": "arXiv:1706.02216",
    "title": "Inductive Representation Learning on Large Graphs",
    "authors": "William L. Hamilton, Rex Ying, Jure Leskovec",
    "venue": "NeurIPS 2017",
    "year": 2017,
    "code": "https://github.com/williamleif/GraphSAGE",
    "licence": "MIT",
}
STRATEGIES = ("uniform", "last")


@method(
    takes="seed nodes or edges of a graph",
    gives="the nodes behind them and the edges that lead there",
    deviations=[
        "the paper draws with replacement and each hop anew; as in PyG a node is expanded once and "
        "drawing without replacement is the default",
        "an edge of weight zero is drawn only where all neighbours are taken (-1)",
    ],
    verified_by="tests/sampling/test_neighbor_sampler.py",
    **CARD,
)
class NeighborSampler(BaseSampler):
    r"""The neighbour sampler of the `"Inductive Representation Learning on Large Graphs"
    <https://arxiv.org/abs/1706.02216>`_ paper, with PyG's arguments and output but without pyg-lib.

    .. math::
        \mathcal{V}_0 = \text{seeds}, \qquad \mathcal{V}_{h} = \mathcal{V}_{h-1} \cup
        \bigcup_{i \in \mathcal{V}_{h-1} \setminus \mathcal{V}_{h-2}}
        \operatorname{sample}\left(\mathcal{N}(i), k_h\right)

    It stands behind PyG's :class:`~torch_geometric.loader.NodeLoader` and
    :class:`~torch_geometric.loader.LinkLoader`; :class:`NeighborLoader` and
    :class:`LinkNeighborLoader` are these with the sampler inside.

    A seed that repeats is a row of its own each time, with neighbours of its own. Weighted draws
    without replacement are successive: each in proportion to its weight among those left. Where
    nodes or edges have times, no neighbour is later than its seed.

    What is drawn is fixed by :func:`torch.manual_seed`. With :obj:`seed`, and in the loaders of
    this package, it does not depend on the number of workers either.  A graph is sorted once,
    :math:`\mathcal{O}(E)` (with times :math:`\mathcal{O}(E \log E)`); a batch costs what it holds,
    weighted draws cost the degrees of what they draw for.

    Args:
        data (Data, HeteroData or (FeatureStore, GraphStore)): The graph.
        num_neighbors (list of int or dict): Neighbours per hop, :obj:`-1` for all; a dictionary
            holds such a list for each edge type.
        subgraph_type (SubgraphType or str, optional): :obj:`"directional"` (the edges drawn),
            :obj:`"bidirectional"` (and their reverses) or :obj:`"induced"` (all edges between the
            nodes drawn). (default: :obj:`"directional"`)
        replace (bool, optional): Draw with replacement. (default: :obj:`False`)
        disjoint (bool, optional): Every seed gets a tree of its own; always so with times.
            (default: :obj:`False`)
        temporal_strategy (str, optional): :obj:`"uniform"`, or :obj:`"last"` for the latest of
            what is not later than the seed. (default: :obj:`"uniform"`)
        time_attr (str, optional): Attribute of nodes or of edges that holds times.
        weight_attr (str, optional): Attribute of edges that holds weights.
        is_sorted (bool, optional): Edges stand sorted by target, and by time within a
            neighbourhood if there are times; checked. (default: :obj:`False`)
        share_memory (bool, optional): Keep the graph in shared memory. (default: :obj:`False`)
        directed (bool, optional): PyG's old word: :obj:`False` means induced.
        sample_direction (str, optional): :obj:`"backward"` follows edges from source to target.
            (default: :obj:`"forward"`)
        seed (int, optional): The same seeds get the same neighbours at every call and in every
            process. (default: drawn anew from torch's generator)

    Shapes:
        - **input:** seeds :math:`(S)`
        - **output:** a :class:`~torch_geometric.sampler.SamplerOutput` or
          :class:`~torch_geometric.sampler.HeteroSamplerOutput` with the seeds first

    Raises:
        ValueError: If an edge or a seed is not in the graph, times or weights are no numbers,
            arguments contradict each other (as :obj:`weight_attr` and stores, or times and
            ``"backward"``, do), or seeds have no time where one is needed.

    Example:
        >>> from torch_geometric.datasets import KarateClub
        >>> from torch_geometric.loader import NodeLoader
        >>> from graphkit.sampling import NeighborSampler
        >>> data = KarateClub()[0]
        >>> loader = NodeLoader(data, NeighborSampler(data, [3, 2]), batch_size=4)
        >>> next(iter(loader)).batch_size
        4
    """

    def __init__(
        self,
        data: Data | HeteroData | tuple[FeatureStore, GraphStore],
        num_neighbors: Any,
        subgraph_type: SubgraphType | str = "directional",
        replace: bool = False,
        disjoint: bool = False,
        temporal_strategy: str = "uniform",
        time_attr: str | None = None,
        weight_attr: str | None = None,
        is_sorted: bool = False,
        share_memory: bool = False,
        directed: bool = True,
        sample_direction: Literal["forward", "backward"] = "forward",
        seed: int | None = None,
    ) -> None:
        if not directed:
            warnings.warn("'directed' is deprecated; use subgraph_type='induced'", stacklevel=2)
            subgraph_type = SubgraphType.induced
        check_choices(temporal_strategy, sample_direction, time_attr, weight_attr)
        self.data_type = DataType.from_data(data)
        self.sample_direction = sample_direction
        backward = sample_direction == "backward"
        if isinstance(data, Data):
            self.graph = from_data(data, time_attr, weight_attr, is_sorted, backward)
        elif isinstance(data, HeteroData):
            self.graph = from_hetero(data, time_attr, weight_attr, is_sorted, backward)
        elif weight_attr is not None:
            raise ValueError("'weight_attr' is not supported for feature and graph stores")
        else:
            self.graph = from_stores(data, time_attr, backward)
        if share_memory and self.data_type != DataType.remote:
            share(self.graph)
        self.num_neighbors = num_neighbors
        self.subgraph_type = SubgraphType(subgraph_type)
        self.replace, self.disjoint = replace, disjoint
        self.temporal_strategy = temporal_strategy
        self.keep_orig_edges = False
        self.seed = seed

    @property
    def num_neighbors(self) -> NumNeighbors:
        """Neighbours per hop; a list or a dictionary may be set."""
        return self.neighbors

    @num_neighbors.setter
    def num_neighbors(self, num_neighbors: Any) -> None:
        if not isinstance(num_neighbors, NumNeighbors):
            num_neighbors = NumNeighbors(num_neighbors)
        self.counts = counts_of(num_neighbors, self.graph)
        self.neighbors = num_neighbors

    @property
    def is_hetero(self) -> bool:
        """Whether nodes and edges have types."""
        return self.graph.is_hetero

    @property
    def is_temporal(self) -> bool:
        """Whether nodes or edges have times."""
        return self.graph.node_time is not None or self.graph.edge_time is not None

    @property
    def disjoint(self) -> bool:
        """Whether every seed gets a tree of its own."""
        return self.wants_disjoint or self.is_temporal

    @disjoint.setter
    def disjoint(self, disjoint: bool) -> None:
        self.wants_disjoint = disjoint

    @property
    def num_nodes(self) -> Any:
        """Number of nodes, by type in a heterogeneous graph."""
        return self.graph.num_nodes if self.is_hetero else self.graph.num_nodes[None]

    @property
    def node_time(self) -> Any:
        """Times of nodes, by type in a heterogeneous graph."""
        times = self.graph.node_time
        return times if times is None or self.is_hetero else times[None]

    @property
    def edge_permutation(self) -> Any:
        """Which edge stands at each place of the sorted graph; PyG's loaders look here."""
        perms = {key: relation.perm for key, relation in self.graph.edges.items()}
        return perms if self.is_hetero else perms[None]

    def sample_from_nodes(self, index: NodeSamplerInput, **kwargs: Any) -> Any:
        """The batch behind some nodes."""
        stream = self.stream_of(index.input_id, index.node, index.time)
        out = node_sample(index, lambda seed, time: self.sample(seed, time, stream))
        return self.as_subgraph(out)

    def sample_from_edges(
        self, index: EdgeSamplerInput, neg_sampling: NegativeSampling | None = None
    ) -> Any:
        """The batch behind the ends of some edges, and of edges that are not there."""
        stream = self.stream_of(index.input_id, index.row, index.col, index.time)
        args = (self.num_nodes, self.disjoint, self.node_time, neg_sampling)
        trees: dict[str, Any] = {}

        def sample(seed: Any, time: Any) -> Any:
            out = self.sample(seed, time, mix(stream, 1))
            trees["raw"] = out.batch
            trees["first"] = next(iter(seed.values())).numel() if isinstance(seed, dict) else 0
            return out

        # PyG draws negatives from the global generator: it is lent for the time of the call.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(mix(stream, 2) >> 1)
            out = edge_sample(index, sample, *args)
        if self.disjoint:
            number_links(out, trees, index, neg_sampling)
        return self.as_subgraph(out)

    def as_subgraph(self, out: Any) -> Any:
        """The batch in the form that :obj:`subgraph_type` asks for."""
        if self.subgraph_type == SubgraphType.bidirectional:
            return out.to_bidirectional(keep_orig_edges=self.keep_orig_edges)
        return out

    def stream_of(self, *inputs: Tensor | None) -> int:
        """Where the random numbers of a batch begin."""
        seed = self.seed
        if seed is None:
            worker = get_worker_info()
            if worker is None:
                return int(torch.empty((), dtype=torch.long).random_())
            # Workers' seeds are that of the pass plus their number, which must not matter.
            seed = worker.seed - worker.id
        digest = hashlib.blake2b(digest_size=8)
        for tensor in inputs:
            digest.update(b"-" if tensor is None else tensor.contiguous().numpy().tobytes())
        return mix(seed, int.from_bytes(digest.digest(), "little"))

    @contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        """Within the block draws follow from :obj:`seed` and from the batch's seeds alone."""
        before, self.seed = self.seed, mix(seed, 0 if self.seed is None else self.seed + 1)
        try:
            yield
        finally:
            self.seed = before

    def sample(self, seed: Any, seed_time: Any, stream: int) -> SamplerOutput | HeteroSamplerOutput:
        """The nodes behind seeds (by type in a heterogeneous graph) with their times."""
        seeds = seed if isinstance(seed, dict) else {None: seed}
        times = seed_time if isinstance(seed_time, dict) else {None: seed_time}
        if isinstance(seed, dict) != self.is_hetero:
            raise ValueError("the type of the seeds must be given for, and only for, typed graphs")
        for kind, nodes in seeds.items():
            self.check_seeds(kind, nodes)
        limits = self.limits_of(seeds, times) if self.is_temporal else None
        induced = self.subgraph_type == SubgraphType.induced
        plan = Plan(self.counts, self.neighbors.num_hops, self.replace, self.disjoint)
        plan.last, plan.induced = self.temporal_strategy == "last", induced
        plan.backward = self.sample_direction == "backward"
        return as_output(self.graph, plan, grow(self.graph, plan, seeds, limits, stream))

    def check_seeds(self, kind: Any, nodes: Tensor) -> None:
        """Raises if a seed is not in the graph."""
        where = "" if kind is None else f" of type '{kind}'"
        if kind not in self.graph.num_nodes:
            known = ", ".join(map(str, self.graph.num_nodes))
            raise ValueError(f"seeds{where}: the graph has no such nodes, only {known}")
        size = self.graph.num_nodes[kind]
        if nodes.dtype != torch.long:
            raise ValueError(f"seeds{where} must be int64, got {nodes.dtype}")
        if nodes.numel() and (int(nodes.min()) < 0 or int(nodes.max()) >= size):
            raise ValueError(
                f"seeds{where} go from {int(nodes.min())} to {int(nodes.max())}, "
                f"but there are {size} nodes"
            )

    def limits_of(self, seeds: dict[Any, Tensor], times: dict[Any, Any]) -> Tensor:
        """The time of each seed, its own where none is given."""
        limits = []
        for kind, nodes in seeds.items():
            limit = times.get(kind)
            if limit is None:
                if kind not in (self.graph.node_time or {}):
                    raise ValueError(
                        "seeds need times: 'input_time' (or 'edge_label_time') must be given, "
                        "as these nodes have none of their own"
                    )
                limit = (self.graph.node_time or {})[kind][nodes]
            limits.append(as_times(limit, "seed_time"))
            if limits[-1].shape != nodes.shape:
                raise ValueError(f"{nodes.numel()} seeds have {limits[-1].numel()} times")
        return torch.cat(limits)


def check_choices(
    temporal_strategy: str, sample_direction: str, time_attr: Any, weight_attr: Any
) -> None:
    """Raises if a word is unknown, or two arguments contradict each other."""
    if temporal_strategy not in STRATEGIES:
        raise ValueError(
            f"'temporal_strategy' must be 'uniform' or 'last', not '{temporal_strategy}'"
        )
    if sample_direction not in ("forward", "backward"):
        raise ValueError(
            f"'sample_direction' must be 'forward' or 'backward', not '{sample_direction}'"
        )
    if sample_direction == "backward" and time_attr is not None:
        raise ValueError("'time_attr' is not supported with sample_direction='backward'")
    if time_attr is not None and weight_attr is not None and temporal_strategy == "last":
        raise ValueError(
            "temporal_strategy='last' takes the latest neighbours, 'weight_attr' draws them: "
            "give one of both"
        )


def counts_of(num_neighbors: NumNeighbors, graph: Relations) -> dict[Any, list[int]]:
    """The neighbours per hop of every edge type, checked."""
    values = num_neighbors.get_values(list(graph.edges) if graph.is_hetero else None)
    if not graph.is_hetero:
        if isinstance(values, dict):
            raise ValueError("'num_neighbors' must be a list, as the graph has one type of edges")
        values = {None: values}
    for counts in values.values():
        if any(isinstance(c, bool) or not isinstance(c, int) or c < -1 for c in counts):
            raise ValueError(f"'num_neighbors' must hold integers from -1 on, got {counts}")
    return values


def share(graph: Relations) -> None:
    """Moves a graph to memory that worker processes share."""
    for relation in graph.edges.values():
        for tensor in (relation.colptr, relation.row, relation.perm, relation.weights):
            if tensor is not None:
                tensor.share_memory_()


def number_links(
    out: Any, trees: dict[str, Any], index: EdgeSamplerInput, neg_sampling: NegativeSampling | None
) -> None:
    """Gives every node the number of its link; that of negatives is the one they go with."""
    # PyG counts modulo the positives over both ends at once, which is right for whole amounts only.
    num_links = index.row.numel()
    sources = num_links
    if neg_sampling is not None and neg_sampling.is_binary():
        sources += -int(-num_links * neg_sampling.amount // 1)

    def links(tree: Tensor) -> Tensor:
        return torch.where(tree >= sources, tree - sources, tree) % max(num_links, 1)

    raw = trees["raw"]
    out.batch = {k: links(v) for k, v in raw.items()} if isinstance(raw, dict) else links(raw)


def as_output(graph: Relations, plan: Plan, batch: Sampled) -> SamplerOutput | HeteroSamplerOutput:
    """A batch in PyG's words."""
    node = {kind: torch.from_numpy(join(nodes.pieces)) for kind, nodes in batch.nodes.items()}
    trees = {kind: as_tensor(nodes.trees) for kind, nodes in batch.nodes.items()}
    parts = [{k: as_tensor(v) for k, v in d.items()} for d in (batch.rows, batch.cols, batch.edges)]
    num_nodes = {kind: nodes.sizes for kind, nodes in batch.nodes.items()}
    num_edges = {key: [array.size for array in arrays] for key, arrays in batch.edges.items()}
    if not graph.is_hetero:
        row, col, edge = (part[None] for part in parts)
        out = SamplerOutput(node[None], row, col, edge, trees[None] if plan.disjoint else None)
        if not plan.induced:
            out.num_sampled_nodes, out.num_sampled_edges = num_nodes[None], num_edges[None]
        return out
    typed = HeteroSamplerOutput(node, *parts, trees if plan.disjoint else None)
    if not plan.induced:
        typed.num_sampled_nodes, typed.num_sampled_edges = num_nodes, num_edges
    return typed
