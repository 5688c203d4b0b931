import gzip

import numpy as np
import pytest
import torch

from graphkit.sampling import edge_table, ogb_raw, open_graph, write_graph
from graphkit.sampling.disk import sources

pyarrow = pytest.importorskip("pyarrow", reason="the extra 'arrow' is not installed")
EDGES = torch.randint(30, (2, 500), generator=torch.Generator().manual_seed(0))
WEIGHT = np.arange(500) / 8


def csv_of(path, header=True, ends=("source", "target")):
    lines = [f"{ends[0]},{ends[1]},w"] if header else []
    lines += [f"{s},{t},{w}" for (s, t), w in zip(EDGES.t().tolist(), WEIGHT, strict=True)]
    text = "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def check(source, tmp_path, both_ways=False):
    features, edges = open_graph(write_graph(tmp_path / "g", source))
    ends = torch.cat([EDGES, EDGES.flip(0)], 1) if both_ways else EDGES
    row, colptr, _ = edges.csc()
    for node in range(30):
        found = row[colptr[node] : colptr[node + 1]].sort().values.tolist()
        assert found == ends[0, ends[1] == node].sort().values.tolist()
    return features


@pytest.mark.parametrize("name", ["e.csv", "e.csv.gz", "e.parquet", "parts"])
def test_tables_become_graphs(name, tmp_path, monkeypatch):
    from pyarrow import parquet

    monkeypatch.setattr(sources, "BLOCK", 1000)
    path = tmp_path / name
    if name.startswith("e.csv"):
        csv_of(path)
    else:
        columns = {"source": EDGES[0].numpy(), "target": EDGES[1].numpy(), "w": WEIGHT}
        table = pyarrow.table(columns)
        if name == "parts":
            path.mkdir()
            parquet.write_table(table[:200], path / "0.parquet")
            parquet.write_table(table[200:], path / "1.parquet")
        else:
            parquet.write_table(table, path)
    features = check(edge_table(path, 30, attrs=["w"]), tmp_path)
    order = torch.argsort(EDGES[1], stable=True)
    assert features.get_tensor(("_", "_", "_"), "w", index=None).tolist() == WEIGHT[order].tolist()


def test_columns_without_names_and_both_ways(tmp_path):
    path = csv_of(tmp_path / "e.csv", header=False)
    check(edge_table(path, 30, 0, 1, header=False, both_ways=True), tmp_path, both_ways=True)


def test_raw_files_of_ogb(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(1))

    def write(name, rows):
        text = "\n".join(",".join(map(str, row)) for row in rows) + "\n"
        (raw / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode()))

    write("edge", EDGES.t().tolist())
    write("num-node-list", [[30]])
    write("node-feat", x.tolist())
    write("node-label", [[i % 7] for i in range(30)])
    write("edge-feat", [[i / 4] for i in range(500)])
    features = check(ogb_raw(tmp_path, both_ways=True), tmp_path, both_ways=True)
    torch.testing.assert_close(features.get_tensor(None, "x", index=None), x)
    assert features.get_tensor(None, "y", index=None).tolist() == [i % 7 for i in range(30)]
    attrs = features.get_tensor(("_", "_", "_"), "edge_attr", index=None)
    assert attrs.shape == (1000, 1)
    assert float(attrs.sum()) == pytest.approx(2 * sum(range(500)) / 4)
    write("num-node-list", [[10], [20]])
    with pytest.raises(ValueError, match="holds 2 graphs"):
        ogb_raw(tmp_path)
    write("num-node-list", [[30]])
    write("edge-feat", [[1.0]] * 499)
    with pytest.raises(ValueError, match="fewer rows than there are edges"):
        write_graph(tmp_path / "h", ogb_raw(tmp_path))
    write("edge-feat", [[1.0]] * 500)
    for name, rows, words in (
        ("edge-feat", [[1.0]] * 501, r"edge-feat\.csv\.gz' has more rows than there are edges"),
        ("node-label", [[0]] * 29, r"node-label\.csv\.gz' has not 30 rows"),
        ("node-label", [[0]] * 31, r"node-label\.csv\.gz' has not 30 rows"),
        ("num-node-list", [[29]], r"edge\.csv\.gz' has nodes 0 to 29, not 0 to 28|has not 29 rows"),
        ("num-node-list", [[10**12]], r"says 1,000,000,000,000 nodes, which do not fit 'edge"),
        ("num-node-list", [["inf"]], "holds 1 graphs, one whole number is meant"),
        ("edge", [[1], [2]], r"edge\.csv\.gz': it has no column '1', only f0"),
    ):
        path = raw / f"{name}.csv.gz"
        before = path.read_bytes()
        write(name, rows)
        with pytest.raises(ValueError, match=words):
            write_graph(tmp_path / "h", ogb_raw(tmp_path))
        path.write_bytes(before)


def test_tables_that_are_wrong_are_named(tmp_path):
    path = csv_of(tmp_path / "e.csv")
    for options, words in (
        ({"target": "to"}, "no column 'to', only source, target, w"),
        ({"attrs": ["z"]}, "no column 'z'"),
        ({"target": "w"}, "must number nodes by integers"),
    ):
        with pytest.raises(ValueError, match=words):
            write_graph(tmp_path / "g", edge_table(path, 30, **options))
    with pytest.raises(FileNotFoundError, match="no table"):
        write_graph(tmp_path / "g", edge_table(tmp_path / "other.csv", 30))
    for text, words in (
        (b"source,target\n1,2\n3\n", "cannot read"),
        (b"source,target\n1,\n2,1\n", "holes"),
        (b"source,target\na,b\n", "no numbers"),
    ):
        path.write_bytes(text)
        with pytest.raises(ValueError, match=words):
            write_graph(tmp_path / "g", edge_table(path, 30))
    (tmp_path / "e.parquet").write_bytes(b"PAR1junk")
    with pytest.raises(ValueError, match=r"cannot read '.*e\.parquet'"):
        write_graph(tmp_path / "g", edge_table(tmp_path / "e.parquet", 30))
