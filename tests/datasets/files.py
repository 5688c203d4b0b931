"""Small data sets, written in exactly the published formats."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np

from graphkit.datasets import DatasetCard

TINY = DatasetCard(
    name="TINY",
    about="three small graphs",
    loader="graphkit.datasets.store.in_place:TUDataset",
    folder="TUDataset/TINY",
    files=tuple(
        f"raw/TINY_{part}.txt" for part in ("A", "graph_indicator", "graph_labels", "node_labels")
    ),
    arguments={"name": "TINY"},
    options={"use_node_attr": (True, False)},
    counts={"graphs": 3, "nodes": 7, "edges": 8, "features": 2, "classes": 2},
)


def write_tu(root: Path, labels: str = "1\n-1\n1\n") -> Path:
    """Graphs of 3, 2 and 2 nodes in the format of the TU collection."""
    folder = root / TINY.folder / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "TINY_A.txt").write_text("1, 2\n2, 1\n2, 3\n3, 2\n4, 5\n5, 4\n6, 7\n7, 6\n")
    (folder / "TINY_graph_indicator.txt").write_text("1\n1\n1\n2\n2\n3\n3\n")
    (folder / "TINY_graph_labels.txt").write_text(labels)
    (folder / "TINY_node_labels.txt").write_text("0\n1\n0\n0\n1\n1\n1\n")
    return folder


def write_ppi(root: Path, num_graphs: int = 2, size: int = 4) -> dict[str, dict[str, np.ndarray]]:
    """Rings of nodes with self loops: one file each of features, labels, graph numbers, links."""
    folder, first, written = root / "PPI" / "raw", 1, {}
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for split in ("train", "valid", "test"):
        nodes = num_graphs * size
        arrays = {
            "feats": generator.normal(size=(nodes, 50)),
            "labels": generator.integers(0, 2, size=(nodes, 121)),
            "graph_id": np.repeat(np.arange(first, first + num_graphs), size),
        }
        for name, array in arrays.items():
            np.save(folder / f"{split}_{name}.npy", array)
        links = [{"source": i, "target": i} for i in range(nodes)]
        for i in range(nodes):
            j = i // size * size + (i + 1) % size
            links += [{"source": i, "target": j}, {"source": j, "target": i}]
        graph = {"directed": True, "multigraph": False, "graph": {}}
        graph |= {"nodes": [{"id": i} for i in range(nodes)], "links": links}
        (folder / f"{split}_graph.json").write_text(json.dumps(graph))
        first, written[split] = first + num_graphs, arrays
    return written


def write_table(path: Path, rows: np.ndarray) -> None:
    """A gzipped table without a header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join(str(value) for value in np.atleast_1d(row)) for row in rows]
    with gzip.open(path, "wt") as file:
        file.write("\n".join(lines) + "\n")


def write_arxiv(root: Path, nodes: int = 12) -> dict[str, np.ndarray]:
    """A path of papers, each citing the next, with ogb's files."""
    generator = np.random.default_rng(0)
    arrays = {
        "edge": np.stack([np.arange(nodes - 1), np.arange(1, nodes)], axis=1),
        "node-feat": generator.normal(size=(nodes, 128)).round(6),
        "node-label": generator.integers(0, 40, size=(nodes, 1)),
        "node_year": generator.integers(2000, 2020, size=(nodes, 1)),
        "num-node-list": np.array([nodes]),
        "num-edge-list": np.array([nodes - 1]),
    }
    for name, array in arrays.items():
        write_table(root / "ogbn_arxiv" / "raw" / f"{name}.csv.gz", array)
    order = generator.permutation(nodes)
    parts = {"train": order[:6], "valid": order[6:9], "test": order[9:]}
    for name, index in parts.items():
        write_table(root / "ogbn_arxiv" / "split" / "time" / f"{name}.csv.gz", index)
    return arrays | parts
