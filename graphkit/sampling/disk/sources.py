"""Where graphs on disk come from: edge lists in CSV or Parquet, and OGB's raw files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from graphkit.guard import GROWTH, ROOM, reading
from graphkit.sampling.disk.writing import Chunk, EdgeSource, GraphSource

BLOCK = 1 << 24


def batches_of(path: str | Path, header: bool = True) -> Iterator[Any]:
    """The record batches of a CSV file (also ``.gz``) or of a Parquet file or folder of these."""
    try:
        from pyarrow import csv, parquet
    except ImportError as error:
        raise ImportError('CSV and Parquet need pyarrow: pip install "graphkit[arrow]"') from error
    path = Path(path)
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise FileNotFoundError(f"there is no table at '{path}'")
    for file in files:
        with reading(file):
            if file.suffix == ".parquet":
                yield from parquet.ParquetFile(file).iter_batches()
            else:
                names = csv.ReadOptions(autogenerate_column_names=not header, block_size=BLOCK)
                yield from csv.open_csv(file, read_options=names)


def column(batch: Any, name: str | int, path: Any) -> np.ndarray:
    """One column of numbers, without holes."""
    with reading(path):
        names = batch.schema.names
        if name not in names if isinstance(name, str) else name >= len(names):
            raise ValueError(f"it has no column '{name}', only {', '.join(names)}")
        values = batch.column(name)
    if values.null_count:
        raise ValueError(f"'{path}' has holes in column '{name}'")
    array = values.to_numpy(zero_copy_only=False)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"'{path}' has no numbers in column '{name}'")
    return array


def edge_table(
    path: str | Path,
    num_nodes: int,
    source: str | int = "source",
    target: str | int = "target",
    attrs: Iterable[str] = (),
    header: bool = True,
    both_ways: bool = False,
) -> GraphSource:
    """A graph from a table of edges, read in streaming passes with pyarrow (the extra ``arrow``).

    Args:
        path (str or Path): A ``.csv``, ``.csv.gz`` or ``.parquet`` file, or a folder of the last.
        num_nodes (int): Number of nodes; they are numbered from 0.
        source, target (str or int, optional): Columns of the edges' ends, by name or number.
        attrs (iterable of str, optional): Columns that are kept as attributes of edges.
        header (bool, optional): The first line of a CSV file holds names. (default: :obj:`True`)
        both_ways (bool, optional): Each edge also the other way. (default: :obj:`False`)

    Raises:
        ImportError: If pyarrow is missing.
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, a column is missing, or it has holes or no integers.
    """
    names = list(attrs)

    def chunks() -> Iterator[Chunk]:
        for batch in batches_of(path, header):
            ends = [column(batch, name, path) for name in (source, target)]
            if any(each.dtype.kind not in "iu" for each in ends):
                raise ValueError(f"'{path}' must number nodes by integers")
            for each in ends:
                # Said here as well as when it is written: only here is the file known.
                if each.size and not 0 <= each.min() <= each.max() < num_nodes:
                    raise ValueError(
                        f"'{path}' has nodes {each.min()} to {each.max()}, not 0 to {num_nodes - 1}"
                    )
            values = {name: column(batch, name, path) for name in names}
            yield ends[0], ends[1], values
            if both_ways:
                yield ends[1], ends[0], values

    return GraphSource({None: num_nodes}, {None: {}}, {None: EdgeSource(chunks)})


def ogb_raw(folder: str | Path, both_ways: bool = False) -> GraphSource:
    """A graph from OGB's raw files of one node-property graph, read in streaming passes.

    Reads ``raw/edge.csv.gz``, ``raw/num-node-list.csv.gz``, and, if they are there,
    ``raw/node-feat.csv.gz`` as ``x``, ``raw/node-label.csv.gz`` as ``y``, ``raw/node_year.csv.gz``
    as ``node_year`` and ``raw/edge-feat.csv.gz`` as ``edge_attr``.

    Args:
        folder (str or Path): The folder of the data set, which holds ``raw``.
        both_ways (bool, optional): Each edge also the other way, as papers do with
            ogbn-arxiv. (default: :obj:`False`)

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is damaged, or holds several graphs.
    """
    raw = Path(folder) / "raw"
    edges, size = raw / "edge.csv.gz", num_nodes_of(raw)
    graph = edge_table(edges, size, 0, 1, (), False, both_ways)
    for file, name in (("node-feat", "x"), ("node-label", "y"), ("node_year", "node_year")):
        path = raw / f"{file}.csv.gz"
        if path.is_file():
            graph.nodes[None][name] = lambda path=path, flat=name != "x": matrix(path, flat, size)
    features = raw / "edge-feat.csv.gz"
    if features.is_file():
        graph.edges[None] = with_features(graph.edges[None], features, both_ways)
    return graph


def num_nodes_of(raw: Path) -> int:
    """The one number of nodes, which the edges' file makes plausible: memory is taken for all."""
    path, edges = raw / "num-node-list.csv.gz", raw / "edge.csv.gz"
    with reading(path):
        sizes = np.concatenate([column(batch, 0, path) for batch in batches_of(path, False)])
    if sizes.size != 1 or sizes.dtype.kind not in "iu":
        raise ValueError(f"'{path}' holds {sizes.size} graphs, one whole number is meant")
    most = max(ROOM, GROWTH * edges.stat().st_size) if edges.is_file() else ROOM
    if not 0 <= sizes[0] <= most:
        raise ValueError(f"'{path}' says {sizes[0]:,} nodes, which do not fit '{edges.name}'")
    return int(sizes[0])


def matrix(path: Path, flat: bool = False, size: int | None = None) -> Iterator[np.ndarray]:
    """The rows of a table without names, chunk by chunk; one column is a vector if ``flat``."""
    count = 0
    for batch in batches_of(path, False):
        columns = [column(batch, number, path) for number in range(batch.num_columns)]
        rows = np.stack(columns, axis=1)
        count += len(rows)
        if size is not None and count > size:
            break
        rows = rows.astype(np.float32) if rows.dtype.kind == "f" or not flat else rows
        yield rows[:, 0] if flat and rows.shape[1] == 1 else rows
    if size is not None and count != size:
        raise ValueError(f"'{path}' has not {size:,} rows, one for each node")


def with_features(edges: EdgeSource, path: Path, both_ways: bool) -> EdgeSource:
    """Edges with the rows of another file, whose chunks may end elsewhere."""

    def chunks() -> Iterator[Chunk]:
        rows, held = matrix(path), np.empty((0, 0), np.float32)
        for number, (sources, targets, _) in enumerate(edges.chunks()):
            if not (both_ways and number % 2):
                part, held = taken(rows, held, len(sources), path)
            yield sources, targets, {"edge_attr": part}
        if held.shape[0] or next(rows, None) is not None:
            raise ValueError(f"'{path}' has more rows than there are edges")

    return EdgeSource(chunks)


def taken(
    rows: Iterator[np.ndarray], held: np.ndarray, size: int, path: Path
) -> tuple[np.ndarray, np.ndarray]:
    """The next so many rows, and what is held of the rows after them."""
    pieces, have = [held] if held.size else [], held.shape[0]
    while have < size:
        piece = next(rows, None)
        if piece is None:
            raise ValueError(f"'{path}' has fewer rows than there are edges")
        pieces.append(piece)
        have += piece.shape[0]
    joined = np.concatenate(pieces) if pieces else held
    return joined[:size], joined[size:]
