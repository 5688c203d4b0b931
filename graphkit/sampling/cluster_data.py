"""A graph in parts, and mini-batches of parts."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch_geometric.data import Data
from torch_geometric.loader.cluster import Partition
from torch_geometric.utils import index_sort, select

from graphkit.catalog import method
from graphkit.files import replacing
from graphkit.guard import reading
from graphkit.ops.cpu.kernels import sorting
from graphkit.sampling.partitions import algorithm_of, partition
from graphkit.tensor_files import read_tensors

CARD: dict[str, Any] = {
    "paper": "arXiv:1905.07953",
    "title": "Cluster-GCN: An Efficient Algorithm for Training Deep and Large Graph Convolutional "
    "Networks",
    "authors": "Wei-Lin Chiang, Xuanqing Liu, Si Si, Yang Li, Samy Bengio, Cho-Jui Hsieh",
    "venue": "KDD 2019",
    "year": 2019,
    "code": "https://github.com/google-research/google-research/tree/master/cluster_gcn",
    "licence": "Apache-2.0",
    "verified_by": "tests/sampling/test_cluster_data.py",
}
ENTRIES = ("indptr", "index", "partptr", "node_perm", "edge_perm")


@method(
    takes="a graph and a number of parts",
    gives="the parts as graphs",
    deviations=["without pymetis parts come from a greedy stream with refinement, not from METIS"],
    **CARD,
)
class ClusterData(Dataset[Any]):
    r"""The parts of a graph, for the `"Cluster-GCN: An Efficient Algorithm for Training Deep and
    Large Graph Convolutional Networks" <https://arxiv.org/abs/1905.07953>`_ paper.

    .. math::
        \mathcal{V} = \mathcal{V}_1 \cup \dots \cup \mathcal{V}_P, \qquad
        \min \, \left| \{ (j, i) \in \mathcal{E} : p(j) \neq p(i) \} \right|
        \text{ with } |\mathcal{V}_p| \approx N / P

    PyG's :class:`~torch_geometric.loader.ClusterData` with its arguments, without pyg-lib: METIS
    through pymetis where that is installed (``pip install "graphkit[metis]"``), else
    :func:`partition`'s greedy algorithm.

    Args:
        data (Data): The graph.
        num_parts (int): Number of parts.
        recursive (bool, optional): METIS' recursive bisection. (default: :obj:`False`)
        save_dir (str or Path, optional): Folder that keeps the partition.
        filename (str, optional): Name of the file in it.
        log (bool, optional): Say on stderr what is computed. (default: :obj:`True`)
        keep_inter_cluster_edges (bool, optional): Items keep edges that leave their part, with the
            other end's number in the permuted graph. (default: :obj:`False`)
        sparse_format (str, optional): Order of the edges, ``"csr"`` or ``"csc"``.
            (default: :obj:`"csr"`)
        algorithm (str, optional): As in :func:`partition`.

    Shapes:
        - **input:** a graph of :math:`N` nodes
        - **output:** graphs of about :math:`N / P` nodes

    Raises:
        ValueError: If an argument is out of range, or the file in :obj:`save_dir` is damaged,
            belongs to another graph or was cut by another algorithm than the one that is named.

    Example:
        >>> from torch_geometric.datasets import KarateClub
        >>> from graphkit.sampling import ClusterData, ClusterLoader
        >>> parts = ClusterData(KarateClub()[0], num_parts=4, log=False, algorithm="greedy")
        >>> sum(part.num_nodes for part in parts)
        34
        >>> [batch.num_nodes for batch in ClusterLoader(parts, batch_size=4)]
        [34]
    """

    def __init__(
        self,
        data: Data,
        num_parts: int,
        recursive: bool = False,
        save_dir: str | Path | None = None,
        filename: str | None = None,
        log: bool = True,
        keep_inter_cluster_edges: bool = False,
        sparse_format: Literal["csr", "csc"] = "csr",
        algorithm: str | None = None,
    ) -> None:
        if data.edge_index is None:
            raise ValueError("'data' has no edge_index")
        if sparse_format not in ("csr", "csc"):
            raise ValueError(f"'sparse_format' must be 'csr' or 'csc', not '{sparse_format}'")
        used = algorithm_of(algorithm)
        self.num_parts, self.recursive = num_parts, recursive
        self.keep_inter_cluster_edges, self.sparse_format = keep_inter_cluster_edges, sparse_format
        name = f"part_{num_parts}{'_recursive' if recursive else ''}"
        file = None if save_dir is None else Path(save_dir) / name / (filename or "clusters.pt")
        if file is not None and file.exists():
            self.partition = read_partition(file, data, num_parts, sparse_format, algorithm)
        else:
            if log:
                print(f"cutting {data.num_nodes} nodes into {num_parts} parts", file=sys.stderr)
            size = data.num_nodes or 0
            part = partition(data.edge_index, size, num_parts, recursive, used)
            self.partition = sorted_by(part, data.edge_index, num_parts, sparse_format)
            if file is not None:
                with replacing(file) as out:
                    entries = {k: getattr(self.partition, k) for k in ENTRIES}
                    torch.save(entries | {"algorithm": used}, out)
        self.data = copy.copy(data)
        rearrange(self.data, data, self.partition.node_perm, self.partition.edge_perm)
        self.data.edge_index = None

    def __len__(self) -> int:
        return self.partition.partptr.numel() - 1

    def __getitem__(self, idx: int) -> Data:
        if not 0 <= idx < len(self):
            raise IndexError(f"part {idx} of {len(self)}")
        near, far, node, edge = self.gather(torch.tensor([idx]))
        start, end = self.partition.partptr[idx : idx + 2]
        if not self.keep_inter_cluster_edges:
            inside = (far >= start) & (far < end)
            near, far, edge = near[inside], far[inside] - start, edge[inside]
        return self.graph_of(near, far, node, edge)

    def gather(self, parts: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Edges at some parts (the near end by its place there), the nodes, the edges' numbers."""
        starts, ends = self.partition.partptr[parts], self.partition.partptr[parts + 1]
        node = torch.cat([torch.arange(s, e) for s, e in zip(starts, ends, strict=True)])
        indptr = self.partition.indptr
        edge = torch.cat(
            [torch.arange(indptr[s], indptr[e]) for s, e in zip(starts, ends, strict=True)]
        )
        near = torch.repeat_interleave(indptr[node + 1] - indptr[node])
        return near, self.partition.index[edge], node, edge

    def union(self, parts: Tensor) -> Data:
        """The graph of several parts together, with the edges between them."""
        near, far, node, edge = self.gather(parts)
        starts = self.partition.partptr
        sizes = starts[parts + 1] - starts[parts]
        place = torch.full((len(self),), -1)
        place[parts] = sizes.cumsum(0) - sizes
        other = torch.searchsorted(starts, far, right=True) - 1
        inside = place[other] >= 0
        far = (far - starts[other] + place[other])[inside]
        return self.graph_of(near[inside], far, node, edge[inside])

    def graph_of(self, near: Tensor, far: Tensor, node: Tensor, edge: Tensor) -> Data:
        """A graph of some nodes and edges of the permuted one."""
        out = copy.copy(self.data)
        rearrange(out, self.data, node, edge)
        pair = (near, far) if self.sparse_format == "csr" else (far, near)
        out.edge_index = torch.stack(pair)
        return out

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.num_parts})"


@method(takes="parts of a graph", gives="batches of some parts and the edges between them", **CARD)
class ClusterLoader(DataLoader[Any]):
    r"""Mini-batches of parts that get back the edges between them, the stochastic multiple
    partitions of the `"Cluster-GCN: An Efficient Algorithm for Training Deep and Large Graph
    Convolutional Networks" <https://arxiv.org/abs/1905.07953>`_ paper.

    .. math::
        \mathcal{B} = \mathcal{G}\left[ \mathcal{V}_{p_1} \cup \dots \cup \mathcal{V}_{p_q} \right]

    Args:
        cluster_data (ClusterData): The parts.
        **kwargs (optional): Arguments of :class:`torch.utils.data.DataLoader`; ``batch_size`` is
            the number :math:`q` of parts.

    Shapes:
        - **input:** parts of a graph
        - **output:** graphs of the nodes of :math:`q` parts

    Raises:
        TypeError: If :obj:`cluster_data` is no :class:`ClusterData`.

    Example:
        >>> from torch_geometric.datasets import KarateClub
        >>> from graphkit.sampling import ClusterData, ClusterLoader
        >>> parts = ClusterData(KarateClub()[0], num_parts=4, log=False)
        >>> loader = ClusterLoader(parts, batch_size=2, shuffle=True)
        >>> sum(batch.num_nodes for batch in loader)
        34
    """

    def __init__(self, cluster_data: ClusterData, **kwargs: Any) -> None:
        if not isinstance(cluster_data, ClusterData):
            raise TypeError(f"'cluster_data' must be a ClusterData, got {type(cluster_data)}")
        self.cluster_data = cluster_data
        super().__init__(range(len(cluster_data)), collate_fn=self.collate, **kwargs)  # type: ignore[arg-type]

    def collate(self, parts: list[int]) -> Data:
        """The graph of some parts."""
        return self.cluster_data.union(torch.as_tensor(parts))


def sorted_by(
    part: Tensor, edge_index: Tensor, num_parts: int, sparse_format: Literal["csr", "csc"]
) -> Partition:
    """The permutations that put the nodes of a part, and their edges, side by side."""
    sorted_part, node_perm = index_sort(part, max_value=num_parts, stable=True)
    partptr = torch.searchsorted(sorted_part, torch.arange(num_parts + 1))
    place = torch.empty_like(node_perm)
    place[node_perm] = torch.arange(part.numel())
    ends = place[edge_index.as_subclass(Tensor).cpu()]
    near, far = ends if sparse_format == "csr" else ends.flip(0)
    # Sorted by the near end, then by the far one: two counting sorts, the minor key first.
    perm = torch.argsort(far, stable=True)
    indptr, major = torch.empty(part.numel() + 1, dtype=torch.long), torch.empty_like(perm)
    sorted_near = near[perm].contiguous()
    sorting.count_groups(sorted_near.numpy(), indptr.numpy())
    sorting.place(sorted_near.numpy(), indptr.numpy(), major.numpy())
    edge_perm = perm[major]
    return Partition(indptr, far[edge_perm], partptr, node_perm, edge_perm, sparse_format)


def rearrange(out: Data, data: Data, node: Tensor, edge: Tensor) -> None:
    """Fills ``out`` with rows of ``data``: those of nodes and those of edges."""
    for key, value in data.to_dict().items():
        if key == "num_nodes":
            out.num_nodes = node.numel()
        elif key != "edge_index" and (data.is_node_attr(key) or data.is_edge_attr(key)):
            index = node if data.is_node_attr(key) else edge
            out[key] = select(value, index, dim=data.__cat_dim__(key, value))


def read_partition(
    file: Path,
    data: Data,
    num_parts: int,
    sparse_format: Literal["csr", "csc"],
    algorithm: str | None,
) -> Partition:
    """A partition out of a file, which must be that of this graph, and by this algorithm if one is
    named."""
    assert data.edge_index is not None
    entries = read_tensors(file, "delete it")
    with reading(file, advice="it is damaged or of another graph: delete it"):
        saved = Partition(*(entries[name] for name in ENTRIES), sparse_format=sparse_format)
        part, sizes = torch.empty(data.num_nodes or 0, dtype=torch.long), saved.partptr.diff()
        # Before they are spelt out: numbers that are too large would fill the memory.
        if not bool(((sizes >= 0) & (sizes <= part.numel())).all()):
            raise ValueError("its parts are not of so many nodes")
        part[saved.node_perm] = torch.repeat_interleave(sizes)
        # What the parts give for this graph tells whether all of the file is right.
        inside = part.numel() == 0 or 0 <= int(part.min()) <= int(part.max()) < num_parts
        fresh = sorted_by(part, data.edge_index, num_parts, sparse_format) if inside else saved
        same = inside and all(torch.equal(getattr(fresh, n), getattr(saved, n)) for n in ENTRIES)
    if not same:
        raise ValueError(f"'{file}' belongs to another graph or another order of edges; delete it")
    # Older files do not say by what they were cut.
    by = entries.get("algorithm", algorithm)
    if algorithm not in (None, by):
        raise ValueError(f"'{file}' was cut by algorithm='{by}', not '{algorithm}'; delete it")
    return saved
