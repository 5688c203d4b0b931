import gzip

import numpy as np
import pytest
import torch
from torch_geometric.utils import to_undirected

from graphkit.datasets import DamagedDataError, load
from tests.datasets.files import write_arxiv, write_table


def test_the_graph_in_the_published_format(root, cache):
    written = write_arxiv(root)
    dataset = load("ogbn-arxiv")
    data = dataset[0]
    assert data.validate()
    np.testing.assert_array_equal(data.edge_index.t(), written["edge"])
    np.testing.assert_allclose(data.x, written["node-feat"].astype(np.float32))
    np.testing.assert_array_equal(data.y, written["node-label"][:, 0])
    np.testing.assert_array_equal(data.node_year, written["node_year"])
    split = dataset.get_idx_split()
    assert set(split) == {"train", "valid", "test"}
    for part, mask in (("train", "train_mask"), ("valid", "val_mask"), ("test", "test_mask")):
        assert split[part].tolist() == sorted(written[part])
        assert data[mask].nonzero().view(-1).tolist() == sorted(written[part])


def test_undirected_is_another_processed_file(root, cache):
    write_arxiv(root)
    directed = load("ogbn-arxiv")[0]
    undirected = load("ogbn-arxiv", to_undirected=True)[0]
    assert torch.equal(undirected.edge_index, to_undirected(directed.edge_index))
    assert load("ogbn-arxiv")[0].num_edges == directed.num_edges == 11


@pytest.mark.parametrize("file", ["edge", "node-feat", "node-label"])
def test_a_truncated_file_is_named(root, cache, file):
    write_arxiv(root)
    path = root / "ogbn_arxiv" / "raw" / f"{file}.csv.gz"
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(DamagedDataError, match=f"{file}.csv.gz"):
        load("ogbn-arxiv")


@pytest.mark.parametrize(
    ("file", "rows", "message"),
    [
        ("raw/edge", np.array([[0, 1], [1, 12]]), r"edge.csv.gz' holds \(2, 2\) numbers"),
        ("raw/edge", np.array([[0, 12]] * 11), "edge.csv.gz' holds nodes from 0 to 12"),
        ("raw/edge", np.array([[0, -1]] * 11), "edge.csv.gz' holds nodes from -1 to 0"),
        ("raw/node-label", np.zeros((11, 1), int), "node-label.csv.gz' holds"),
        ("raw/node-feat", np.full((12, 128), np.nan), "node-feat.csv.gz' holds values"),
        ("split/time/test", np.array([12]), "test.csv.gz' holds nodes from 12 to 12"),
        ("split/time/test", np.arange(12), "test.csv.gz' repeats nodes"),
    ],
)
def test_files_that_do_not_fit_are_named(root, cache, file, rows, message):
    write_arxiv(root)
    write_table(root / "ogbn_arxiv" / f"{file}.csv.gz", rows)
    with pytest.raises(DamagedDataError, match=message):
        load("ogbn-arxiv")


def test_text_in_a_table_is_named(root, cache):
    write_arxiv(root)
    with gzip.open(root / "ogbn_arxiv" / "raw" / "node_year.csv.gz", "wt") as file:
        file.write("year\n2004\n")
    with pytest.raises(DamagedDataError, match=r"node_year\.csv\.gz"):
        load("ogbn-arxiv")
