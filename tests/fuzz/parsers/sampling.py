"""What loaders keep: parts, norms, outputs of layers, graphs on disk, tables of edges."""

from __future__ import annotations

import io
import json
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.sampling import (
    ClusterData,
    ClusterLoader,
    GraphSAINTRandomWalkSampler,
    NeighborLoader,
    layerwise,
    open_graph,
    write_graph,
)
from graphkit.sampling.disk.sources import edge_table, ogb_raw
from graphkit.sampling.inference import checksum
from tests.fuzz.parsers.reading import as_json, named, packed, put, put_all, put_values
from tests.fuzz.registry import parser

PARTS, WALKS = 3, 2


@cache
def ring() -> Data:
    """Ten nodes in a ring, with features."""
    nodes = torch.arange(10)
    edges = torch.stack([torch.cat([nodes, nodes]), torch.cat([nodes + 1, nodes - 1]) % 10])
    weight = torch.linspace(0, 1, 20)
    return Data(x=torch.eye(10)[:, :3], y=nodes % 3, edge_index=edges, edge_weight=weight)


def files_of(make: Callable[[Path], object]) -> dict[str, bytes]:
    """The files that something writes into a folder."""
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def cut(folder: Path) -> ClusterData:
    return ClusterData(ring(), PARTS, save_dir=folder, log=False, algorithm="greedy")


def walks(folder: Path) -> GraphSAINTRandomWalkSampler:
    return GraphSAINTRandomWalkSampler(ring(), WALKS, 2, 1, 5, save_dir=folder, log=False)


def use_parts(folder: Path) -> None:
    """All parts, and batches of two of them."""
    parts = cut(folder)
    assert sum(part.num_nodes for part in parts) == 10
    for batch in ClusterLoader(parts, batch_size=2):
        assert not batch.num_edges or int(batch.edge_index.max()) < batch.num_nodes


def use_norms(folder: Path) -> None:
    """A batch with its norms."""
    for batch in walks(folder):
        assert batch.node_norm.isfinite().all()
        assert batch.edge_norm.isfinite().all()
        assert (batch.node_norm > 0).all()


@cache
def kept(make: Callable[[Path], object]) -> tuple[str, bytes]:
    """The file that a loader keeps, and its name."""
    (file,) = files_of(make).items()
    return file


def register_kept(name: str, make: Callable[[Path], object], use: Callable[[Path], None]) -> None:
    """Two parsers: of the bytes that a loader keeps, and of files sealed rightly by others."""

    def plain(content: bytes, folder: Path) -> None:
        put(folder, kept(make)[0], content)
        with named(folder):
            use(folder)

    def others(content: bytes, folder: Path) -> None:
        if put_values(folder, kept(make)[0], content) is not None:
            with named(folder):
                use(folder)

    def values() -> list[bytes]:
        value = torch.load(io.BytesIO(kept(make)[1]), weights_only=True)
        return [json.dumps(as_json(value)).encode()]

    parser(lambda: [kept(make)[1]], ValueError, inside="zip", name=name)(plain)
    parser(values, ValueError, name=f"{name}_sealed")(others)


register_kept("clusters", cut, use_parts)
register_kept("saint_norms", walks, use_norms)


def stack() -> list[Any]:
    """Two layers without weights: the mean over neighbours."""

    def mean(x: Tensor, edge_index: Tensor) -> Tensor:
        out = torch.zeros_like(x).index_add(0, edge_index[1], x[edge_index[0]])
        return out / 2 + x

    return [mean, mean]


def infer(folder: Path) -> None:
    """Outputs of all nodes, in chunks of four; hops are given, so that none are tried."""
    out = layerwise(stack(), ring(), folder, chunk_size=4, hops=1, progress=False)
    assert out.shape == (10, 3)
    assert torch.allclose(out, outputs())


@cache
def outputs() -> Tensor:
    """What comes out where nothing was kept."""
    return layerwise(stack(), ring(), chunk_size=4, hops=1, progress=False)


@cache
def inference() -> dict[str, bytes]:
    """What a run that was killed in its second layer leaves."""

    def killed(folder: Path) -> None:
        infer(folder)
        progress = json.loads((folder / "progress.json").read_bytes())
        first, second = (sums_of(np.load(folder / f"layer-{layer}.npy")) for layer in (0, 1))
        progress |= {"done": [1, 1], "sums": {"0": first, "1": second[:1]}}
        (folder / "progress.json").write_text(json.dumps(progress))

    return files_of(killed)


def sums_of(rows: np.ndarray) -> list[int]:
    """The checksums of chunks of four rows."""
    return [checksum(rows[start : start + 4]) for start in (0, 4, 8)]


def npy(rows: np.ndarray) -> bytes:
    """An array as NumPy writes it."""
    buffer = io.BytesIO()
    np.save(buffer, rows)
    return buffer.getvalue()


def register_inference(name: str) -> None:
    def parse(content: bytes, folder: Path) -> None:
        put_all(folder, inference(), name, content)
        with named(folder):
            infer(folder)

    parser(lambda: [inference()[name]], ValueError, name=f"layerwise_{name.split('.')[0]}")(parse)


for one in ("progress.json", "layer-0.npy", "layer-1.npy"):
    register_inference(one)


SHAPES = {"0": {"shape": [10, 3], "dtype": "<f4"}, "1": {"shape": [10, 3], "dtype": "<f4"}}


@parser(lambda: [json.dumps(SHAPES).encode()], ValueError)
def layerwise_sealed(content: bytes, folder: Path) -> None:
    """Outputs of other layers, with the checksums that they have."""
    files = dict(inference())
    progress = json.loads(files["progress.json"])
    with suppress(Exception):
        for layer, about in json.loads(content).items():
            rows = np.broadcast_to(np.ones((), about["dtype"]), about["shape"])
            if rows.nbytes > 10_000:
                return
            files[f"layer-{layer}.npy"] = npy(rows)
            progress["sums"][layer] = sums_of(rows)[: 3 if layer == "0" else 1]
    files["progress.json"] = json.dumps(progress).encode()
    for name in inference():
        put(folder, name, files[name])
    with named(folder):
        layerwise(stack(), ring(), folder, chunk_size=4, hops=1, progress=False)


@cache
def on_disk() -> dict[str, bytes]:
    return files_of(lambda folder: write_graph(folder / "graph", ring()))


def register_folder(file: str, name: str) -> None:
    def parse(content: bytes, folder: Path) -> None:
        put_all(folder, on_disk(), file, content)
        with named(folder):
            stores = open_graph(folder / "graph")
        for batch in NeighborLoader(stores, [2, 2], torch.arange(10), batch_size=5):
            assert batch.batch_size == 5

    parser(lambda: [on_disk()[file]], ValueError, FileNotFoundError, name=name)(parse)


register_folder("graph/graph.json", "folder_contents")
for one in ("nodes/_/attr-x", "edges/_/row", "edges/_/colptr", "edges/_/attr-edge_weight"):
    register_folder(f"graph/{one}.npy", f"folder_{one.rpartition('/')[2].removeprefix('attr-')}")


def written(source: Any, folder: Path) -> None:
    """A graph of this source on disk, opened again."""
    shutil.rmtree(folder / "graph", ignore_errors=True)
    edges = open_graph(write_graph(folder / "graph", source))[1]
    assert edges.csc()[1].numel() - 1 in source.num_nodes.values()


def tables() -> list[bytes]:
    return [b"source,target,weight\n0,1,0.5\n1,2,1\n9,0,2.5\n", b"target,source,weight\n1,2,3\n"]


def edge_file(content: bytes, folder: Path, name: str) -> None:
    path = put(folder, name, content)
    with named(folder):
        written(edge_table(path, 10, attrs=["weight"], both_ways=True), folder)


def parquet_tables() -> list[bytes]:
    import pyarrow
    from pyarrow import parquet

    buffer = io.BytesIO()
    columns = {"source": [0, 1, 9], "target": [1, 2, 0], "weight": [0.5, 1.0, 2.5]}
    parquet.write_table(pyarrow.table(columns), buffer)
    return [buffer.getvalue()]


OGB = packed(
    {
        "raw/num-node-list": b"4\n",
        "raw/edge": b"0,1\n1,2\n3,0\n",
        "raw/node-feat": b"0.5,1\n-1,2.5\n0,0\n1e-3,4\n",
        "raw/node-label": b"0\n1\n1\n2\n",
        "raw/edge-feat": b"1\n2\n3\n",
    }
)


def register_ogb(part: str) -> None:
    file = f"raw/{part}.csv.gz"

    def parse(content: bytes, folder: Path) -> None:
        put_all(folder, OGB, file, content)
        with named(folder):
            written(ogb_raw(folder, both_ways=True), folder)

    name = f"ogb_{part.replace('-', '_')}"
    parser(lambda: [OGB[file]], ValueError, inside="gzip", name=name)(parse)


if find_spec("pyarrow") is not None:
    parser(tables, ValueError, name="edges_csv")(lambda c, f: edge_file(c, f, "a.csv"))
    parser(parquet_tables, ValueError, name="edges_parquet")(
        lambda c, f: edge_file(c, f, "a.parquet")
    )
    for one in ("num-node-list", "edge", "node-feat", "edge-feat"):
        register_ogb(one)
