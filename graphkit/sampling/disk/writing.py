"""Graphs written to a folder in two passes over their edges, which are never held in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from graphkit.catalog import no_method
from graphkit.ops.dtypes import is_half
from graphkit.sampling.disk.folder import file_name, name_of, new_folder, write_contents
from graphkit.sampling.kernels import placing

CHUNK = 1 << 22
CHANGED = "the edges were others when they were read again"
Chunk = tuple[Any, Any, dict[str, Any]]


@no_method("where edges come from")
@dataclass
class EdgeSource:
    """Edges that can be read twice, chunk by chunk.

    Args:
        chunks (callable): Gives ``(sources, targets, attributes)`` of one chunk after the other,
            the same at every call.

    Example:
        >>> from graphkit.sampling import EdgeSource
        >>> ring = EdgeSource(lambda: [([i], [(i + 1) % 3], {}) for i in range(3)])
        >>> sum(len(sources) for sources, _, _ in ring.chunks())
        3
    """

    chunks: Callable[[], Iterable[Chunk]]


@no_method("where a graph on disk comes from")
@dataclass
class GraphSource:
    """What a folder is written from; types are :obj:`None` in a homogeneous graph.

    Args:
        num_nodes (dict): Number of nodes by type.
        nodes (dict): For each type, arrays by name, or callables that give their chunks of rows.
        edges (dict): For each type, where its edges come from.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from graphkit.sampling import EdgeSource, GraphSource, open_graph, write_graph
        >>> ring = EdgeSource(lambda: [([i], [(i + 1) % 3], {}) for i in range(3)])
        >>> source = GraphSource({None: 3}, {None: {"y": torch.arange(3)}}, {None: ring})
        >>> features, edges = open_graph(write_graph(f"{tempfile.mkdtemp()}/ring", source))
        >>> edges.csc()[0]
        tensor([2, 0, 1], dtype=torch.int32)
    """

    num_nodes: dict[Any, int]
    nodes: dict[Any, dict[str, Any]] = field(default_factory=dict)
    edges: dict[Any, EdgeSource] = field(default_factory=dict)


def write_graph(path: str | Path, data: Data | HeteroData | GraphSource) -> Path:
    r"""Writes a graph into a new folder of memory-mapped arrays, for :func:`open_graph`.

    Edges are read twice: to count those of each target, and to put each in its place, in the order
    in which they come, :math:`\mathcal{O}(N + E)`.  Memory holds the counts and a chunk of edges;
    the arrays themselves are files.  The folder appears when all of it is written.

    Args:
        path (str or Path): The folder, which must not be there yet.
        data (Data, HeteroData or GraphSource): The graph. Tensors of nodes and of edges are
            written, other attributes are not.

    Returns:
        The folder.

    Raises:
        FileExistsError: If the folder is there already.
        ValueError: If an edge ends at no node, or an attribute has a wrong number of rows.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from torch_geometric.datasets import KarateClub
        >>> from graphkit.sampling import NeighborLoader, open_graph, write_graph
        >>> data = KarateClub()[0]
        >>> folder = write_graph(f"{tempfile.mkdtemp()}/karate", data)
        >>> loader = NeighborLoader(open_graph(folder), [4, 2], torch.arange(34), batch_size=17)
        >>> [batch.x.size(1) for batch in loader]
        [34, 34]
    """
    source = data if isinstance(data, GraphSource) else source_of(data)
    with new_folder(path) as folder:
        contents: dict[str, Any] = {"nodes": [], "edges": []}
        for kind, size in source.num_nodes.items():
            arrays = source.nodes.get(kind, {})
            room = folder / "nodes" / name_of(kind)
            room.mkdir(parents=True)
            for name, rows in arrays.items():
                write_rows(room / f"attr-{file_name(name)}.npy", rows, size, name)
            contents["nodes"].append({"type": kind, "num_nodes": size, "attrs": list(arrays)})
        for kind, edges in source.edges.items():
            ends = (None, None) if kind is None else (kind[0], kind[2])
            sizes = (source.num_nodes[ends[0]], source.num_nodes[ends[1]])
            room = folder / "edges" / name_of(kind)
            room.mkdir(parents=True)
            count, names = write_edges(room, edges, sizes)
            contents["edges"].append({"type": kind, "num_edges": count, "attrs": names})
        write_contents(folder, contents)
    return Path(path)


def source_of(data: Data | HeteroData) -> GraphSource:
    """The tensors of a graph in memory."""
    if isinstance(data, Data):
        source = GraphSource({None: data.num_nodes or 0})
        stores: list[tuple[Any, Any]] = [(None, data.edge_stores[0])]
        source.nodes[None] = {k: v for k, v in data.to_dict().items() if is_rows(data, k, v, True)}
    else:
        source = GraphSource({kind: data[kind].num_nodes or 0 for kind in data.node_types})
        stores = list(data.edge_items())
        for kind, store in data.node_items():
            source.nodes[kind] = {k: v for k, v in store.items() if is_rows(store, k, v, True)}
    for kind, store in stores:
        if store.get("edge_index") is None:
            raise ValueError(f"'data' has no edge_index for {kind or 'its edges'}")
        attrs = {k: v for k, v in store.items() if is_rows(store, k, v, False)}
        source.edges[kind] = in_memory(store["edge_index"].as_subclass(Tensor).cpu(), attrs)
    return source


def is_rows(store: Any, key: str, value: Any, of_nodes: bool) -> bool:
    """Whether an attribute holds one row for each node, or for each edge."""
    if key in ("edge_index", "num_nodes") or not isinstance(value, Tensor):
        return False
    return store.is_node_attr(key) if of_nodes else store.is_edge_attr(key)


def in_memory(edge_index: Tensor, attrs: dict[str, Tensor]) -> EdgeSource:
    """Edges of a tensor, in chunks."""

    def chunks() -> Iterator[Chunk]:
        for start in range(0, edge_index.size(1), CHUNK):
            part = slice(start, start + CHUNK)
            yield edge_index[0, part], edge_index[1, part], {k: v[part] for k, v in attrs.items()}

    return EdgeSource(chunks)


def write_rows(file: Path, rows: Any, size: int, name: str) -> None:
    """Writes an array of so many rows, given whole or as a callable that gives chunks."""
    chunks = rows() if callable(rows) else [rows]
    out, filled = None, 0
    for chunk in chunks:
        part = as_array(chunk)
        if out is None:
            shape = (size, *part.shape[1:])
            out = np.lib.format.open_memmap(file, mode="w+", dtype=part.dtype, shape=shape)
        if filled + part.shape[0] > size or part.shape[1:] != out.shape[1:]:
            raise ValueError(f"'{name}' has more than {size} rows, or rows of unequal width")
        out[filled : filled + part.shape[0]] = part
        filled += part.shape[0]
    if filled != size or out is None:
        raise ValueError(f"'{name}' has {filled} rows, but there are {size} nodes")
    out.flush()


def write_edges(room: Path, source: EdgeSource, sizes: tuple[int, int]) -> tuple[int, list[str]]:
    """Writes edges sorted by target; returns their number and their attributes' names."""
    colptr = np.zeros(sizes[1] + 1, np.int64)
    for sources, targets, _ in source.chunks():
        ends = [np.ascontiguousarray(as_array(each), np.int64) for each in (sources, targets)]
        if ends[0].shape != ends[1].shape or ends[0].ndim != 1:
            raise ValueError("edges need as many sources as targets")
        for array, size in zip(ends, sizes, strict=True):
            if array.size and not 0 <= array.min() <= array.max() < size:
                wrong = array.min() if array.min() < 0 else array.max()
                raise ValueError(f"an edge ends at node {wrong}, but there are {size} nodes")
        placing.count(ends[1], colptr)
    np.cumsum(colptr, out=colptr)
    # What each target has room for begins at its bound; the second pass moves on from there.
    count, cursor = int(colptr[-1]), colptr[:-1].copy()
    np.save(room / "colptr.npy", colptr)
    # Half the space where numbers of nodes allow.
    dtype = np.int32 if sizes[0] <= np.iinfo(np.int32).max else np.int64
    row = np.lib.format.open_memmap(room / "row.npy", mode="w+", dtype=dtype, shape=(count,))
    arrays: dict[str, Any] = {}
    for sources, targets, attrs in source.chunks():
        places = np.empty(len(targets), np.int64)
        placing.place(np.ascontiguousarray(as_array(targets), np.int64), cursor, places)
        if places.size and int(places.max()) >= count:
            raise ValueError(CHANGED)
        row[places] = as_array(sources)
        for name, values in attrs.items():
            part = as_array(values)
            if name not in arrays:
                file, shape = room / f"attr-{file_name(name)}.npy", (count, *part.shape[1:])
                arrays[name] = np.lib.format.open_memmap(
                    file, mode="w+", dtype=part.dtype, shape=shape
                )
            arrays[name][places] = part
    if not np.array_equal(cursor, colptr[1:]):
        raise ValueError(CHANGED)
    for array in (row, *arrays.values()):
        array.flush()
    return count, list(arrays)


def as_array(values: Any) -> np.ndarray:
    """Numbers as an array."""
    if isinstance(values, Tensor) and is_half(values) and values.dtype == torch.bfloat16:
        raise ValueError("no array holds bfloat16: make it float32")
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"only numbers can be written, got {array.dtype}")
    return array
