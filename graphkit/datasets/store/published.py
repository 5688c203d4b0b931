"""Published files of PyG's sets, looked at closely and written anew for PyG to read."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from graphkit.datasets.store.reading.archives import read_arrays
from graphkit.datasets.store.reading.pickles import check_compressed, read_pickle
from graphkit.guard import DamagedDataError, reading
from graphkit.json_values import single
from graphkit.text_files import read_json, read_table, read_text, rows_of

__all__ = ["check_npz", "tidy_planetoid", "tidy_ppi", "tidy_tu", "tidy_zinc"]

DENSE = 1 << 30
"""Numbers that a dense table may hold: PyG makes one of the features and one of the labels."""
SPARSE = ("data", "indices", "indptr", "shape")
NODES, EDGES = ("node_labels", "node_attributes"), ("edge_labels", "edge_attributes")
GRAPHS = ("graph_labels", "graph_attributes")


def require(right: bool, path: Path, what: str) -> None:
    """Raises an error about a file unless something is right."""
    if not right:
        raise DamagedDataError(f"'{path}' {what}")


def tidy_planetoid(raw: Path, name: str, aside: Path) -> None:
    """Writes Planetoid's eight files anew: plain pickles, and an index that ends with a newline.

    PyG's reader would call whatever the pickles name, and takes the index as it is.
    """
    prefix = f"ind.{name.lower()}."
    tables = {}
    for part in ("x", "tx", "allx", "y", "ty", "ally"):
        path = raw / f"{prefix}{part}"
        table = read_pickle(path)
        with reading(path):
            require(getattr(table, "ndim", 0) == 2, path, "holds no table")
            require(table.shape[0] * table.shape[1] <= DENSE, path, f"is a table of {table.shape}")
            numbers = table.data if hasattr(table, "tocsr") else table
            require(single(numbers), path, "holds values that are not finite")
        tables[part] = table
    for parts in (("x", "tx", "allx"), ("y", "ty", "ally")):
        columns = {part: tables[part].shape[1] for part in parts}
        right = len(set(columns.values())) == 1
        require(right, raw / f"{prefix}{parts[0]}", f"and its like have {columns} columns")
    path = raw / f"{prefix}test.index"
    index = read_table(path, 1, whole=True)[:, 0]
    known, tested = tables["allx"].shape[0], tables["tx"].shape[0]
    nodes = check_test_index(path, index, known, tested, name)
    (aside / path.name).write_text("".join(f"{node}\n" for node in index))
    path = raw / f"{prefix}graph"
    tables["graph"] = neighbours(path, read_pickle(path), nodes)
    for part, table in tables.items():
        (aside / f"{prefix}{part}").write_bytes(pickle.dumps(table, protocol=4))


def check_test_index(path: Path, index: np.ndarray, known: int, tested: int, name: str) -> int:
    """The number of nodes, if the test nodes are those behind the others, each once."""
    values, times = np.unique(index, return_counts=True)
    twice = values[times > 1][:1].tolist()
    require(not twice, path, f"names node {twice} twice")
    require(len(index) == tested, path, f"has {len(index):,} rows, but there are {tested:,} tests")
    # CiteSeer's index has gaps: nodes without features, which PyG fills in.
    gaps = name.lower() == "citeseer"
    last = int(values[-1])
    inside = values[0] == known and (
        last < known + tested if not gaps else last < known + 2 * tested
    )
    whose = f"names nodes {values[0]} to {last}, but {known} to {known + tested - 1} are tests"
    require(inside or name.lower().startswith("nell"), path, whose)
    return last + 1


def neighbours(path: Path, graph: Any, nodes: int) -> dict[int, list[int]]:
    """Plain lists of neighbours, all of them nodes."""
    require(isinstance(graph, dict) and bool(graph), path, "holds no dictionary of neighbours")
    plain = {}
    with reading(path):
        for node, others in graph.items():
            row = np.asarray([node, *others])
            right = row.dtype.kind in "iu" and row.min() >= 0 and row.max() < nodes
            require(bool(right), path, f"has neighbours of node {node!r} that are no nodes")
            plain[int(node)] = row[1:].tolist()
    return plain


def tidy_tu(raw: Path, name: str, aside: Path) -> None:
    """Writes the tables of a TU set anew, with commas and a last newline, after a look at them."""
    paths = {part: raw / f"{name}_{part}.txt" for part in ("A", "graph_indicator")}
    further = {part: raw / f"{name}_{part}.txt" for part in (*NODES, *EDGES, *GRAPHS)}
    paths |= {part: path for part, path in further.items() if path.is_file()}
    whole = {part: not part.endswith("attributes") for part in paths}
    columns = {"A": 2, "graph_indicator": 1, "graph_labels": 1}
    tables = {
        part: read_table(path, columns.get(part), whole[part]) for part, path in paths.items()
    }
    check_tu(paths, tables)
    for part, path in paths.items():
        # The digits are kept as they are: PyG reads the same numbers as ever.
        rows = (
            tables[part].tolist() if whole[part] else [row for _, row in rows_of(read_text(path))]
        )
        lines = "".join(", ".join(map(str, row)) + "\n" for row in rows)
        (aside / path.name).write_text(lines)


def check_tu(paths: dict[str, Path], tables: dict[str, np.ndarray]) -> None:
    """Raises if the tables of a TU set do not fit together."""
    edges, graph = tables["A"], tables["graph_indicator"][:, 0]
    path = paths["graph_indicator"]
    require(graph.min() >= 1, path, f"has graph {graph.min()}, but they are counted from 1")
    require(bool((np.diff(graph) >= 0).all()), path, "does not list the nodes graph by graph")
    require(int(graph[-1]) <= len(graph), path, f"has {len(graph)} nodes in {graph[-1]} graphs")
    path, nodes = paths["A"], len(graph)
    first = np.flatnonzero(((edges < 1) | (edges > nodes)).any(1))[:1].tolist()
    require(
        not first,
        path,
        f"has an edge {[tuple(edges[i].tolist()) for i in first]}, but the nodes are counted from "
        f"1 to {nodes}",
    )
    across = np.flatnonzero(graph[edges[:, 0] - 1] != graph[edges[:, 1] - 1])[:1].tolist()
    pairs = [tuple(edges[i].tolist()) for i in across]
    require(not across, path, f"has an edge {pairs} between two graphs")
    # Labels "of graphs" may be labels of nodes: PyG takes as many of them for that.
    allowed: dict[tuple[str, ...], tuple[int, ...]] = {
        NODES: (nodes,),
        EDGES: (len(edges),),
        GRAPHS: (int(graph[-1]), nodes),
    }
    lengths = {part: counts for parts, counts in allowed.items() for part in parts}
    for part in tables.keys() & lengths.keys():
        rows = len(tables[part])
        require(single(tables[part]), paths[part], "holds values that are not finite as floats")
        require(rows in lengths[part], paths[part], f"has {rows:,} rows, not {lengths[part][0]:,}")
        if part in ("node_labels", "edge_labels"):
            # PyG makes a column of every number between the least and the largest.
            width = int(np.ptp(tables[part], axis=0).max()) + 1
            require(width * rows <= DENSE, paths[part], f"has labels {width:,} apart")


def tidy_zinc(raw: Path, aside: Path) -> None:
    """Writes ZINC's molecules and the numbers of those that count anew: as plain pickles."""
    for split in ("train", "val", "test"):
        path = raw / f"{split}.pickle"
        molecules = read_pickle(path)
        require(isinstance(molecules, list) and bool(molecules), path, "holds no molecules")
        (aside / path.name).write_bytes(pickle.dumps(molecules, protocol=4))
        path = raw / f"{split}.index"
        index = read_table(path, whole=True).flatten()
        right = index.min() >= 0 and index.max() < len(molecules)
        require(bool(right), path, f"names molecules that are not among {len(molecules)}")
        (aside / path.name).write_text(",".join(map(str, index)) + "\n")


def check_npz(path: Path) -> None:
    """Raises unless a graph in compressed arrays points only inside itself.

    SciPy does not look, and makes its dense table whatever lies behind.
    """
    names = [f"{kind}_{part}" for kind in ("attr", "adj") for part in SPARSE]
    arrays = read_arrays(path, [*names, "labels"])
    labels = arrays["labels"]
    with reading(path):
        for kind in ("attr", "adj"):
            data, indices, pointers, shape = (arrays[f"{kind}_{part}"] for part in SPARSE)
            rows, columns = (int(length) for length in shape)
            right = rows == len(labels) and columns >= 0 and rows * max(columns, 1) <= DENSE
            if kind == "adj":
                right = rows == columns == len(labels)
            require(right, path, f"has '{kind}_shape' {rows} x {columns} of {len(labels)} labels")
            require(data.dtype.kind in "biuf", path, f"has '{kind}_data' of {data.dtype}")
            require(single(data), path, f"has '{kind}_data' that is not finite")
            check_compressed(data, indices, pointers, (rows, columns))
        right = labels.ndim == 1 and labels.dtype.kind in "iu" and labels.min(initial=0) >= 0
        require(right, path, "has 'labels' that are no numbers from 0")


def tidy_ppi(raw: Path, aside: Path) -> None:
    """Writes PPI's graphs anew, without a byte order mark, and links the arrays."""
    for split in ("train", "valid", "test"):
        path = raw / f"{split}_graph.json"
        graph = read_json(path)
        with reading(path):
            check_ppi(raw, split, graph)
        (aside / path.name).write_text(json.dumps(graph))
        for part in ("feats", "graph_id", "labels"):
            os.symlink((raw / f"{split}_{part}.npy").resolve(), aside / f"{split}_{part}.npy")


def check_ppi(raw: Path, split: str, graph: Any) -> None:
    """Raises if the arrays and links of a part of PPI do not fit together."""
    arrays = {}
    for part in ("feats", "graph_id", "labels"):
        path = raw / f"{split}_{part}.npy"
        with reading(path):
            arrays[part] = np.load(path, mmap_mode="r", allow_pickle=False)
            kinds = "iu" if part == "graph_id" else "biuf"
            right = arrays[part].dtype.kind in kinds and single(arrays[part])
            require(right, path, "holds values that are no finite numbers")
    owner, path = arrays["graph_id"], raw / f"{split}_graph_id.npy"
    right = owner.ndim == 1 and len(owner) > 0 and bool((np.diff(owner) >= 0).all())
    require(right and np.ptp(owner) < len(owner), path, "does not list the nodes graph by graph")
    for part in ("feats", "labels"):
        right = arrays[part].ndim == 2 and len(arrays[part]) == len(owner)
        require(
            right, raw / f"{split}_{part}.npy", f"is {arrays[part].shape} of {len(owner)} nodes"
        )
    path = raw / f"{split}_graph.json"
    ends = np.array([[link["source"], link["target"]] for link in graph["links"]]).reshape(-1, 2)
    right = ends.dtype.kind in "iu" and not ((ends < 0) | (ends >= len(owner))).any()
    require(
        bool(right or not len(ends)), path, f"has links that are not between {len(owner)} nodes"
    )
    if len(ends):
        across = bool((owner[ends[:, 0]] != owner[ends[:, 1]]).any())
        require(not across, path, "has a link between two graphs")
