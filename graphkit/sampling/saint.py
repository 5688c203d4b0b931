"""Mini-batches of random walks, with the weights that make their losses unbiased."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch_geometric.data import Data
from torch_geometric.loader.utils import filter_data
from torch_geometric.sampler import NodeSamplerInput

from graphkit.catalog import method
from graphkit.digest import digest_of
from graphkit.files import replacing
from graphkit.guard import reading
from graphkit.sampling.kernels import walking
from graphkit.sampling.neighbor_sampler import NeighborSampler
from graphkit.sampling.passes import SeededPasses
from graphkit.tensor_files import read_tensors

MOST = 1e4
UNSEEN = 0.1
"""What PyG gives edges, and counts for nodes, that no walk has met."""


@method(
    paper="arXiv:1907.04931",
    title="GraphSAINT: Graph Sampling Based Inductive Learning Method",
    authors="Hanqing Zeng, Hongkuan Zhou, Ajitesh Srivastava, Rajgopal Kannan, Viktor Prasanna",
    venue="ICLR 2020",
    year=2020,
    code="https://github.com/GraphSAINT/GraphSAINT",
    licence="MIT",
    takes="a graph",
    gives="the graphs between the nodes of random walks, with node_norm and edge_norm",
    deviations=["norms of what was never sampled are PyG's constants"],
    verified_by="tests/sampling/test_saint.py",
)
class GraphSAINTRandomWalkSampler(SeededPasses, DataLoader[Any]):
    r"""The random-walk loader of the `"GraphSAINT: Graph Sampling Based Inductive Learning Method"
    <https://arxiv.org/abs/1907.04931>`_ paper.

    .. math::
        \mathcal{B} = \mathcal{G}\left[ \bigcup_{r = 1}^{R} \operatorname{walk}_r \right], \qquad
        \text{node\_norm}_v = \frac{S}{C_v N}, \qquad
        \text{edge\_norm}_{uv} = \frac{C_u}{C_{uv}}

    where :math:`C_v` and :math:`C_{uv}` count the batches, of :math:`S`, with a node or an edge.
    PyG's :class:`~torch_geometric.loader.GraphSAINTRandomWalkSampler` with its arguments, without
    torch-sparse. Walks follow edges from source to target; passes are fixed as in
    :class:`NeighborLoader`.

    Args:
        data (Data): The graph.
        batch_size (int): Walks per batch.
        walk_length (int): Steps of a walk.
        num_steps (int, optional): Batches per pass. (default: :obj:`1`)
        sample_coverage (int, optional): Norms are counted until so many times the number of nodes
            has been sampled; 0 gives no norms. (default: :obj:`0`)
        save_dir (str or Path, optional): Folder that keeps the norms.
        log (bool, optional): Say on stderr what is computed. (default: :obj:`True`)
        **kwargs (optional): Arguments of :class:`torch.utils.data.DataLoader`.

    Shapes:
        - **input:** a graph of :math:`N` nodes
        - **output:** graphs of at most :math:`R (\ell + 1)` nodes, with ``n_id`` and ``e_id``

    Raises:
        ValueError: If an argument is out of range, the graph has norms already, or the file in
            :obj:`save_dir` is damaged or of another graph or :obj:`batch_size`.

    Example:
        >>> from torch_geometric.datasets import KarateClub
        >>> from graphkit.sampling import GraphSAINTRandomWalkSampler
        >>> data = KarateClub()[0]
        >>> loader = GraphSAINTRandomWalkSampler(data, 4, 2, 5, sample_coverage=20, log=False)
        >>> all(batch.node_norm.numel() == batch.num_nodes <= 12 for batch in loader)
        True
    """

    def __init__(
        self,
        data: Data,
        batch_size: int,
        walk_length: int,
        num_steps: int = 1,
        sample_coverage: int = 0,
        save_dir: str | Path | None = None,
        log: bool = True,
        **kwargs: Any,
    ) -> None:
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("walk_length", walk_length, 0),
            ("num_steps", num_steps, 1),
            ("sample_coverage", sample_coverage, 0),
        ):
            if value < least:
                raise ValueError(f"'{name}' must be at least {least}, got {value}")
        if "node_norm" in data or "edge_norm" in data:
            raise ValueError("'data' has a node_norm or edge_norm already; batches are given these")
        if not data.num_nodes:
            raise ValueError("'data' has no nodes to walk from")
        for name in ("dataset", "collate_fn"):
            kwargs.pop(name, None)
        self.data, self.walks, self.walk_length = data, batch_size, walk_length
        self.sample_coverage, self.N, self.E = sample_coverage, data.num_nodes, data.num_edges
        # Backward, so that walks and edges go from source to target; no hops: the seeds are all.
        self.node_sampler = NeighborSampler(
            data, [], subgraph_type="induced", sample_direction="backward"
        )
        super().__init__(range(num_steps), batch_size=1, collate_fn=self.collate, **kwargs)  # type: ignore[arg-type]
        self.norms: tuple[Tensor, Tensor] | None = None
        if sample_coverage > 0:
            name = f"graphsaintrandomwalk_{walk_length}_{sample_coverage}.saint.pt"
            file = None if save_dir is None else Path(save_dir) / name
            if file is not None and file.exists():
                self.norms = read_norms(file, self.N, self.E, self.mark())
            else:
                if log:
                    print(f"counting nodes in batches, {sample_coverage} for each", file=sys.stderr)
                self.norms = self.count_norms()
                if file is not None:
                    with replacing(file) as out:
                        torch.save([*self.norms, self.mark()], out)

    def mark(self) -> str:
        """What tells the norms of one graph and size of batches from others'."""
        return digest_of(self.data.edge_index, self.walks)

    def drawing_sampler(self) -> NeighborSampler:
        return self.node_sampler

    def sample(self, step: int) -> Any:
        """The nodes of some walks and the edges between them."""
        stream = self.node_sampler.stream_of(torch.tensor([step]))
        walks = np.empty((self.walks, self.walk_length + 1), np.int64)
        relation = self.node_sampler.graph.edges[None]
        arrays = (relation.colptr.numpy(), relation.row.numpy(), np.uint64(stream))
        walking.walk(*arrays, self.walks, self.walk_length, walks)
        nodes = torch.from_numpy(walks).unique()
        return self.node_sampler.sample_from_nodes(NodeSamplerInput(None, nodes))

    def collate(self, steps: list[int]) -> Data:
        """One batch."""
        out = self.sample(int(steps[0]))
        perm = self.node_sampler.edge_permutation
        batch = filter_data(self.data, out.node, out.row, out.col, out.edge, perm)
        batch.num_nodes = out.node.numel()
        batch.n_id, batch.e_id = out.node, perm[out.edge]
        if self.norms is not None:
            batch.node_norm = self.norms[0][batch.n_id]
            batch.edge_norm = self.norms[1][batch.e_id]
        return batch

    def count_norms(self) -> tuple[Tensor, Tensor]:
        """How much rarer than others nodes and edges are in batches."""
        if self.generator is None:
            return self.counted()
        seed = torch.empty((), dtype=torch.long).random_(generator=self.generator)
        with self.node_sampler.seeded(int(seed)):
            return self.counted()

    def counted(self) -> tuple[Tensor, Tensor]:
        """:meth:`count_norms`, by the draws that come next."""
        node_count, edge_count = torch.zeros(self.N), torch.zeros(self.E)
        total = batches = 0
        while total < self.N * self.sample_coverage:
            out = self.sample(batches)
            node_count[out.node] += 1
            edge_count[self.node_sampler.edge_permutation[out.edge]] += 1
            total, batches = total + out.node.numel(), batches + 1
        assert self.data.edge_index is not None
        edge_norm = (node_count[self.data.edge_index[0]] / edge_count).clamp(0, MOST)
        edge_norm[edge_norm.isnan()] = UNSEEN
        node_count[node_count == 0] = UNSEEN
        return batches / node_count / self.N, edge_norm


def read_norms(file: Path, num_nodes: int, num_edges: int, mark: str) -> tuple[Tensor, Tensor]:
    """Norms out of a file, which must be those of this graph and size of batches."""
    norms = read_tensors(file, "delete it")
    if not isinstance(norms, list) or len(norms) != 3:
        raise ValueError(f"'{file}' holds no norms; delete it")
    with reading(file, "norms", "delete it"):
        node_norm, edge_norm = (norm.float() for norm in norms[:2])
        sizes = (node_norm.numel(), edge_norm.numel())
    if sizes != (num_nodes, num_edges):
        raise ValueError(
            f"'{file}' holds norms of {sizes[0]} nodes and {sizes[1]} edges; delete it"
        )
    if norms[2] != mark:
        raise ValueError(f"'{file}' is of another graph or 'batch_size'; delete it")
    for norm in (node_norm, edge_norm):
        if not bool(((norm > 0) & (norm < torch.inf)).all()):
            raise ValueError(f"'{file}' holds norms that are no positive numbers; delete it")
    return node_norm, edge_norm
