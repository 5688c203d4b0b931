"""Published files as people have them: right to the last digit, or an error that is true."""

import io
import json
import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch_geometric.datasets import Planetoid

from graphkit.datasets import DamagedDataError, DatasetCard, load
from tests.datasets.files import TINY, write_ppi, write_tu

KNOWN, TESTED, FEATURES = 506, 4, 3
SMALL = DatasetCard(
    name="Small",
    about="a ring of papers",
    loader="graphkit.datasets.store.in_place:Planetoid",
    folder="Planetoid/Small",
    files=tuple(
        f"raw/ind.small.{part}"
        for part in ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")
    ),
    arguments={"name": "Small"},
    counts={
        "nodes": KNOWN + TESTED,
        "edges": 2 * (KNOWN + TESTED),
        "features": FEATURES,
        "classes": 2,
    },
)
ORDER = [508, 506, 509, 507]


def write_planetoid(root, protocol=2, index="".join(f"{node}\n" for node in ORDER)):
    """A ring of papers in Planetoid's eight files; PyG wants 500 of them for validation."""
    folder = root / SMALL.folder / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    generator, nodes = np.random.default_rng(0), KNOWN + TESTED
    x = generator.integers(0, 2, size=(nodes, FEATURES)).astype(np.float32)
    y = np.eye(2, dtype=np.int32)[np.arange(nodes) % 2]
    ring = {i: [(i - 1) % nodes, (i + 1) % nodes] for i in range(nodes)}
    parts = {"x": x[:2], "tx": x[ORDER], "allx": x[:KNOWN]}
    parts = {name: sp.csr_matrix(part) for name, part in parts.items()}
    parts |= {"y": y[:2], "ty": y[ORDER], "ally": y[:KNOWN], "graph": ring}
    for name, part in parts.items():
        (folder / f"ind.small.{name}").write_bytes(pickle.dumps(part, protocol))
    (folder / "ind.small.test.index").write_bytes(index.encode())
    return folder, x, y.argmax(1)


@pytest.mark.parametrize("protocol", range(6))
def test_planetoid_of_every_protocol_is_read(root, cache, monkeypatch, protocol):
    _, x, y = write_planetoid(root, protocol)
    data = load(SMALL)[0]
    assert np.array_equal(data.x.numpy(), x)
    assert np.array_equal(data.y.numpy(), y)
    assert data.test_mask.nonzero().flatten().tolist() == sorted(ORDER)


SPELLINGS = {
    "no newline at the end": "508\n506\n509\n507",
    "Windows": "508\r\n506\r\n509\r\n507\r\n",
    "byte order mark": "\ufeff508\n506\n509\n507\n",
    "blank lines": "508\n\n506\n509\n507\n\n\n",
    "tabs": "\t508\n506\t\n509\n507\n",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_index_is_read_however_it_is_spelt(root, cache, spelling):
    _, x, y = write_planetoid(root, index=SPELLINGS[spelling])
    data = load(SMALL)[0]
    assert int(data.test_mask.sum()) == TESTED
    assert np.array_equal(data.x.numpy(), x)
    assert np.array_equal(data.y.numpy(), y)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("508\n506\n509\n509\n", r"names node \[509\] twice"),
        ("508\n506\n509\n", "test.index' has 3 rows"),
        ("508\n506\n509\n5070\n", "names nodes 506 to 5070, but 506 to 509 are tests"),
        ("508\n506\n509\n50", "names nodes 50 to 509"),
        ("508\n506\n509\n-7\n", "names nodes -7 to 509"),
        ("508\n506\n509\nx\n", "line 4: 'x' is no finite number"),
        ("508\n506\n9.5\n507\n", "line 3: '9.5' is no whole number"),
    ],
)
def test_an_index_that_is_wrong_is_named(root, cache, index, message):
    write_planetoid(root, index=index)
    with pytest.raises(DamagedDataError, match=message) as caught:
        load(SMALL)
    assert "ind.small.t" in str(caught.value)


WRONG = {
    "graph": [{0: [510]}, {0: [-1]}, {0: ["a"]}, {"a": [0]}, {0: 3}, [1], {}, {0: [0.5]}],
    "x": [np.ones(3), sp.csr_matrix(np.ones((2, 4))), sp.csr_matrix(np.full((2, 3), np.nan)), 3],
    "tx": [sp.csr_matrix(np.ones((5, 3)))],
    "ally": [np.ones((5, 2))],
    "ty": [np.ones((4, 9))],
}


@pytest.mark.parametrize(("part", "number"), [(p, i) for p in WRONG for i in range(len(WRONG[p]))])
def test_planetoid_files_that_do_not_fit_are_named(root, cache, part, number):
    folder, *_ = write_planetoid(root)
    (folder / f"ind.small.{part}").write_bytes(pickle.dumps(WRONG[part][number], 2))
    with pytest.raises(DamagedDataError, match=r"ind\.small"):
        load(SMALL)


@pytest.mark.data
@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("name", ["Cora", "CiteSeer"])
def test_cora_saved_again_and_its_index_without_a_newline(data_root, tmp_path, name):
    """As PyG reads the published files: every number, mask and edge."""
    raw = tmp_path / "copy" / "Planetoid" / name / "raw"
    shutil.copytree(data_root / "Planetoid" / name / "raw", raw)
    shutil.copytree(raw, tmp_path / "pyg" / name / "raw")
    wanted = Planetoid(str(tmp_path / "pyg"), name)[0]
    for path in raw.iterdir():
        content = path.read_bytes()
        path.unlink()
        if path.suffix == ".index":
            path.write_bytes(b"\xef\xbb\xbf" + content.rstrip().replace(b"\n", b"\r\n"))
        else:
            path.write_bytes(pickle.dumps(pickle.loads(content, encoding="latin1"), 5))
    (raw / "README.txt").write_text("Please cite\nus, all of us, \u00e4\n")
    found = load(name, root=tmp_path / "copy")[0]
    assert found.keys() == wanted.keys()
    for key in wanted.keys():  # noqa: SIM118
        assert torch.equal(found[key], wanted[key]), key


TABLES = {
    "no newline at the end": lambda text: text.rstrip("\n"),
    "Windows": lambda text: text.replace("\n", "\r\n"),
    "byte order mark": lambda text: "\ufeff" + text,
    "blank lines": lambda text: "\n" + text.replace("\n", "\n\n"),
    "tabs": lambda text: text.replace(", ", "\t"),
    "tabs behind commas": lambda text: text.replace(", ", ",\t"),
}


@pytest.mark.parametrize("spelling", TABLES)
def test_tu_tables_are_read_however_they_are_spelt(root, cache, tmp_path, spelling):
    folder = write_tu(root)
    wanted = load(TINY)
    other = tmp_path / "other"
    write_tu(other)
    for path in (other / TINY.folder / "raw").iterdir():
        path.write_bytes(TABLES[spelling](path.read_text()).encode())
    for one, two in zip(load(TINY, root=other), wanted, strict=True):
        assert torch.equal(one.edge_index, two.edge_index)
        assert torch.equal(one.x, two.x)
        assert torch.equal(one.y, two.y)
    assert folder.is_dir()


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("A", "0, 1\n1, 0\n", r"edge \[\(0, 1\)\], but the nodes are counted from 1 to 7"),
        ("A", "1, 2\n2, 8\n", r"\(2, 8\)"),
        ("A", "1, 4\n4, 1\n", r"\(1, 4\)\] between two graphs"),
        ("A", "1, -2\n", r"\(1, -2\)"),
        ("A", "1, 2, 3\n", "line 1: 3 numbers, expected 2"),
        ("graph_indicator", "0\n0\n0\n1\n1\n2\n2\n", "graph 0, but they are counted from 1"),
        ("graph_indicator", "1\n2\n1\n2\n2\n3\n3\n", "graph by graph"),
        ("graph_indicator", "1\n1\n1\n2\n2\n3\n99\n", "7 nodes in 99 graphs"),
        ("graph_labels", "1\n-1\n1\n1\n", "has 4 rows, not 3"),
        ("node_labels", "0\n1\n0\n0\n1\n1\n9999999999\n", "labels 10,000,000,000 apart"),
        ("node_labels", "0\n1\n0\n0\n1\n1\n1.5\n", "no whole number"),
        ("node_labels", "0\n1\n0\n0\n1\n1\n\0\0\0\0\n", "zero bytes"),
    ],
)
def test_tu_tables_that_do_not_fit_are_named(root, cache, file, text, message):
    (write_tu(root) / f"TINY_{file}.txt").write_text(text)
    with pytest.raises(DamagedDataError, match=message) as caught:
        load(TINY)
    assert f"TINY_{file}.txt" in str(caught.value)


def test_graphs_without_edges_at_the_end_count(root, cache):
    (write_tu(root) / "TINY_A.txt").write_text("1, 2\n2, 1\n2, 3\n3, 2\n")
    dataset = load(replace(TINY, counts={}))
    assert [(data.num_nodes, data.num_edges) for data in dataset] == [(3, 4), (2, 0), (2, 0)]
    assert dataset.y.tolist() == [1, 0, 1]


STRAYS = {
    "README.txt": b"README for dataset TINY\n\n=== Usage ===\nn = total number of nodes\n",
    ".gitkeep": b"",
    "._TINY_A.txt": b"\0\5\x16\7\0\2\0\0Mac OS X",
    ".DS_Store": b"\0\0\0\1Bud1",
    "TINY_notes.txt": b"1, 2\nthree\n",
    "TINY_A.txt.bak": b"\0",
    "other.npz": b"cut off",
    "Thumbs.db": b"\xd0\xcf",
}


def test_stray_files_are_neither_read_nor_noticed(root, cache):
    folder = write_tu(root)
    before = load(TINY)
    for name, content in STRAYS.items():
        (folder / name).write_bytes(content)
    (folder / "broken.txt").symlink_to(folder / "nowhere")
    after = load(TINY)
    assert torch.equal(before.edge_index, after.edge_index)
    assert len(list((cache / "processed" / "TINY").iterdir())) == 1


def test_attributes_that_the_card_does_not_name_are_read_and_noticed(root, cache):
    folder = write_tu(root)
    card = replace(TINY, counts={})
    plain = load(card, use_node_attr=True)
    (folder / "TINY_node_attributes.txt").write_text("0.1\n0.2\n0.3\n0.4\n0.5\n0.6\n0.7")
    found = load(card, use_node_attr=True)
    assert found.num_features == plain.num_features + 1
    assert found.x[:, 0].tolist() == torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]).tolist()


NPZ = DatasetCard(
    name="Blocks",
    about="a ring",
    loader="graphkit.datasets.store.in_place:Amazon",
    folder="Amazon/Photo",
    files=("raw/amazon_electronics_photo.npz",),
    arguments={"name": "Photo"},
)


def write_npz(root, **changes):
    features, ring = sp.csr_matrix(np.eye(4, 3)), sp.csr_matrix(np.roll(np.eye(4), 1, 1))
    arrays = {"labels": np.arange(4)}
    for kind, matrix in (("attr", features), ("adj", ring)):
        arrays |= {f"{kind}_{p}": getattr(matrix, p) for p in ("data", "indices", "indptr")}
        arrays[f"{kind}_shape"] = np.array(matrix.shape)
    path = root / NPZ.folder / "raw" / "amazon_electronics_photo.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{**arrays, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"attr_indices": np.array([0, 1, 9])},
        {"adj_indices": np.array([0, 1, 2, -1])},
        {"attr_shape": np.array([10**9, 3])},
        {"attr_shape": np.array([4])},
        {"attr_indptr": np.array([0, 1, 2, 3])},
        {"attr_data": np.array([np.inf, 1, 1])},
        {"labels": np.array([0, 1, -1, 0])},
        {"labels": np.array([0.5, 1, 1, 0])},
        {"labels": np.arange(3)},
    ],
)
def test_arrays_that_point_outside_are_named(root, cache, changes):
    write_npz(root)
    assert load(NPZ)[0].num_edges == 8
    write_npz(root, **changes)
    with pytest.raises(DamagedDataError, match=r"amazon_electronics_photo\.npz"):
        load(NPZ)


def test_ppi_with_a_byte_order_mark(root, cache):
    write_ppi(root)
    wanted = load("PPI")
    for path in (root / "PPI" / "raw").glob("*.json"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b", ", b",\r\n"))
    found = load("PPI")
    assert torch.equal(found.edge_index, wanted.edge_index)


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ({"source": 0, "target": 99}, "not between 8 nodes"),
        ({"source": -1, "target": 0}, "not between 8 nodes"),
        ({"source": 0, "target": 7}, "between two graphs"),
        ({"source": 0}, "target"),
    ],
)
def test_ppi_links_are_looked_at(root, cache, link, message):
    write_ppi(root)
    path = root / "PPI" / "raw" / "valid_graph.json"
    graph = json.loads(path.read_text())
    graph["links"].append(link)
    path.write_text(json.dumps(graph))
    with pytest.raises(DamagedDataError, match=f"valid_graph.*{message}"):
        load("PPI")


def test_ppi_graphs_are_numbered_without_end(root, cache):
    write_ppi(root)
    path = root / "PPI" / "raw" / "test_graph_id.npy"
    buffer = io.BytesIO()
    np.save(buffer, np.array([5, 5, 5, 5, 5, 5, 5, 10**12]))
    path.write_bytes(buffer.getvalue())
    with pytest.raises(DamagedDataError, match=r"test_graph_id.npy' does not list"):
        load("PPI")
