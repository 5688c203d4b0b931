"""Sets of graphs: Planetoid, TU, PPI, compressed arrays, ogb, Tox21, folds."""

from __future__ import annotations

import gzip
import io
import pickle
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from torch_geometric.data import Data

from graphkit.datasets import DamagedDataError, MissingDataError
from graphkit.datasets.folds import read as read_fold
from graphkit.datasets.modelnet_points import read as read_voxels
from graphkit.datasets.ogbn_arxiv import OGBNArxiv
from graphkit.datasets.store.integrity import check_files, check_rows
from graphkit.datasets.store.published import (
    check_npz,
    tidy_planetoid,
    tidy_ppi,
    tidy_tu,
)
from graphkit.datasets.store.user_data import saved_graphs
from graphkit.datasets.tox21 import label, read_rows
from tests.datasets.files import TINY, write_ppi, write_tu
from tests.fuzz.parsers.reading import arrays, named, packed, put, put_all
from tests.fuzz.registry import parser


@cache
def planetoid() -> dict[str, bytes]:
    """A ring of ten papers."""
    x, y = np.eye(10, 3, dtype=np.float32), np.eye(2, dtype=np.int32)[np.arange(10) % 2]
    parts = {"x": x[:2], "tx": x[6:], "allx": x[:6]}
    parts = {name: sp.csr_matrix(part) for name, part in parts.items()}
    parts |= {"y": y[:2], "ty": y[6:], "ally": y[:6]}
    parts["graph"] = {i: [(i - 1) % 10, (i + 1) % 10] for i in range(10)}
    files = {f"ind.a.{name}": pickle.dumps(part, 2) for name, part in parts.items()}
    return {**files, "ind.a.test.index": b"8\n6\n9\n7\n"}


def register_planetoid(part: str) -> None:
    def parse(content: bytes, folder: Path) -> None:
        put_all(folder / "raw", planetoid(), f"ind.a.{part}", content)
        (folder / "aside").mkdir(exist_ok=True)
        with named(folder):
            tidy_planetoid(folder / "raw", "a", folder / "aside")

    parser(lambda: [planetoid()[f"ind.a.{part}"]], DamagedDataError, name=f"planetoid_{part}")(
        parse
    )


for one in ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index"):
    register_planetoid(one)


@cache
def tu() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        raw = write_tu(Path(folder))
        (raw / "TINY_node_attributes.txt").write_text("0.1\n0.2\n0.3\n0.4\n0.5\n0.6\n0.7\n")
        (raw / "TINY_edge_labels.txt").write_text("1\n0\n1\n0\n1\n0\n1\n0\n")
        return {path.name: path.read_bytes() for path in raw.iterdir()}


def register_tu(name: str) -> None:
    def parse(content: bytes, folder: Path) -> None:
        put_all(folder / "raw", tu(), name, content)
        (folder / "aside").mkdir(exist_ok=True)
        tidy_tu(folder / "raw", TINY.name, folder / "aside")

    parser(lambda: [tu()[name]], DamagedDataError, name=f"tu_{name[5:-4]}")(parse)


for part in ("A", "graph_indicator", "graph_labels", "node_labels", "node_attributes"):
    register_tu(f"TINY_{part}.txt")


@cache
def ppi() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        write_ppi(Path(folder))
        return {path.name: path.read_bytes() for path in (Path(folder) / "PPI" / "raw").iterdir()}


def ppi_with(name: str, content: bytes, folder: Path) -> None:
    put_all(folder / "raw", ppi(), name, content)
    with tempfile.TemporaryDirectory(dir=folder) as aside:
        tidy_ppi(folder / "raw", Path(aside))


@parser(lambda: [ppi()["train_graph.json"]], DamagedDataError)
def ppi_graph(content: bytes, folder: Path) -> None:
    ppi_with("train_graph.json", content, folder)


@parser(lambda: [ppi()["valid_graph_id.npy"]], DamagedDataError)
def ppi_graph_id(content: bytes, folder: Path) -> None:
    ppi_with("valid_graph_id.npy", content, folder)


def compressed() -> list[bytes]:
    features, ring = sp.csr_matrix(np.eye(4, 3)), sp.csr_matrix(np.roll(np.eye(4), 1, 1))
    values = {"labels": np.arange(4)}
    for kind, matrix in (("attr", features), ("adj", ring)):
        values |= {f"{kind}_{p}": getattr(matrix, p) for p in ("data", "indices", "indptr")}
        values[f"{kind}_shape"] = np.array(matrix.shape)
    return [arrays(**values)]


@parser(compressed, DamagedDataError, inside="zip")
def amazon(content: bytes, folder: Path) -> None:
    check_npz(put(folder, "a.npz", content))


HEAD = ",".join([*(f"t{i}" for i in range(12)), "mol_id", "smiles"])
ROWS = f'{HEAD}\n{"1,,0," + "," * 9}T1,CCO\n{"0," * 12}T2,"C,C"\n'


@parser(lambda: [gzip.compress(ROWS.encode())], DamagedDataError, inside="gzip")
def tox21(content: bytes, folder: Path) -> None:
    for row in read_rows(put(folder, "tox21.csv.gz", content)):
        try:
            [label(word) for word in row[:12]]
        except ValueError:
            # The data set adds the file's name to it.
            return


@parser(lambda: [b"0\n3\n8\n1\n"], DamagedDataError)
def gin_fold(content: bytes, folder: Path) -> None:
    index = read_fold(str(put(folder, "a.txt", content)), 9)
    assert ((index >= 0) & (index < 9)).all()


def voxels() -> list[bytes]:
    cells = np.random.default_rng(0).random((2, 3, 3, 3)) > 0.5
    return [arrays(X_train=cells.astype(np.int8), y_train=np.array([0, 3]))]


@parser(voxels, DamagedDataError, inside="zip")
def modelnet(content: bytes, folder: Path) -> None:
    read_voxels(put(folder, "a.npz", content), "train")


ARXIV = packed(
    {
        "raw/num-node-list": b"4\n",
        "raw/num-edge-list": b"3\n",
        "raw/edge": b"0,1\n1,2\n3,0\n",
        "raw/node-feat": b"0.5,1\n-1,2.5\n0,0\n1e-3,4\n",
        "raw/node-label": b"0\n1\n1\n2\n",
        "raw/node_year": b"2001\n2010\n2010\n2020\n",
        "split/time/train": b"0\n3\n",
        "split/time/valid": b"1\n",
        "split/time/test": b"2\n",
    }
)


def register_arxiv(part: str) -> None:
    file = f"{part}.csv.gz"

    def parse(content: bytes, folder: Path) -> None:
        put_all(folder, ARXIV, file, content)
        places = {"raw_folder": folder / "raw", "processed_folder": folder / "processed"}
        with named(folder):
            data = OGBNArxiv(str(folder), **places, force_reload=True, log=False)[0]
        assert data.validate()
        assert data.x.isfinite().all()

    name = f"arxiv_{part.rpartition('/')[2].replace('-', '_')}"
    parser(lambda: [ARXIV[file]], DamagedDataError, inside="gzip", name=name)(parse)


for one in ("raw/num-node-list", "raw/edge", "raw/node-feat", "raw/node-label", "split/time/test"):
    register_arxiv(one)


def register_raw(file: str, seeds: Callable[[], list[bytes]], inside: str = "") -> None:
    """What is looked at before a data set of PyG's is read: a file by its name, and its length."""

    def parse(content: bytes, folder: Path) -> None:
        with named(folder):
            lengths = check_files([put(folder, file, content)])
            check_rows({**lengths, folder / "ind.a.y": 2}, "a")

    about = file.replace(".", "_")
    parser(seeds, DamagedDataError, inside=inside, name=f"raw_{about}")(parse)


register_raw("ind.a.x", lambda: [planetoid()["ind.a.x"]])
register_raw("a.txt", lambda: [b"1 2\n3 4\n", b"a word\nand another\n"])
register_raw("a.csv.gz", lambda: [gzip.compress(b"1,2\n3,4\n", mtime=0)], "gzip")
register_raw("a.npy", lambda: [ppi()["valid_graph_id.npy"]])
register_raw("a.npz", compressed, "zip")
register_raw("a.json", lambda: [ppi()["train_graph.json"]])


@cache
def saved() -> list[bytes]:
    graph = Data(x=torch.ones(3, 2), edge_index=torch.tensor([[0, 1], [1, 2]]), y=torch.arange(3))
    buffers = [io.BytesIO(), io.BytesIO()]
    torch.save(graph, buffers[0])
    torch.save([graph, graph], buffers[1])
    return [buffer.getvalue() for buffer in buffers]


@parser(saved, DamagedDataError, MissingDataError)
def saved_graph(content: bytes, folder: Path) -> None:
    for graph in saved_graphs(str(put(folder, "a.pt", content))):
        assert graph.edge_index.numel() == 0 or int(graph.edge_index.max()) < graph.num_nodes
