import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from graphkit.sampling import EdgeSource, GraphSource, open_graph, write_graph
from graphkit.sampling.disk import writing
from tests.sampling.graphs import graph


def from_chunks(chunks, num_nodes=5):
    return GraphSource({None: num_nodes}, {None: {}}, {None: EdgeSource(lambda: chunks)})


def test_edges_keep_their_order_within_a_target(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "CHUNK", 7)
    data = graph()
    row, colptr, _ = open_graph(write_graph(tmp_path / "g", data))[1].csc()
    order = torch.argsort(data.edge_index[1], stable=True)
    assert torch.equal(row.long(), data.edge_index[0, order])
    assert torch.equal(colptr.diff(), torch.bincount(data.edge_index[1], minlength=60))


def test_rows_may_come_in_chunks(tmp_path):
    source = from_chunks(
        [([0, 1], [1, 1], {"w": np.array([0.5, 1.5])}), ([4], [0], {"w": np.array([2.5])})]
    )
    source.nodes[None]["x"] = lambda: iter([np.ones((2, 3)), np.zeros((3, 3))])
    features, edges = open_graph(write_graph(tmp_path / "g", source))
    assert features.get_tensor(None, "x", index=None).sum() == 6
    assert features.get_tensor(("_", "_", "_"), "w", index=None).tolist() == [2.5, 0.5, 1.5]
    assert edges.csc()[0].tolist() == [4, 0, 1]


@pytest.mark.parametrize(
    ("chunks", "words"),
    [
        ([([5], [0], {})], "ends at node 5, but there are 5"),
        ([([0], [-1], {})], "ends at node -1"),
        ([([0, 1], [0], {})], "as many sources as targets"),
    ],
)
def test_nothing_is_left_of_a_graph_that_is_wrong(chunks, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        write_graph(tmp_path / "g", from_chunks(chunks))
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_refused(tmp_path):
    counter = iter(range(9))
    changing = GraphSource(
        {None: 5}, {None: {}}, {None: EdgeSource(lambda: [([0], [next(counter)], {})])}
    )
    with pytest.raises(ValueError, match="others when they were read again"):
        write_graph(tmp_path / "g", changing)
    for rows, words in (
        (np.ones(4), "has 4 rows"),
        (np.ones(6), "more than 5"),
        (np.array(["a"] * 5), "only numbers"),
    ):
        source = from_chunks([])
        source.nodes[None]["x"] = rows
        with pytest.raises(ValueError, match=words):
            write_graph(tmp_path / "g", source)
    with pytest.raises(ValueError, match="cannot be the name"):
        write_graph(tmp_path / "g", GraphSource({"../up": 1}))
    with pytest.raises(ValueError, match="no edge_index"):
        write_graph(tmp_path / "g", Data(x=torch.ones(3, 1)))
    write_graph(tmp_path / "g", from_chunks([]))
    with pytest.raises(FileExistsError, match="there already"):
        write_graph(tmp_path / "g", from_chunks([]))
    assert open_graph(tmp_path / "g")[1].csc()[0].numel() == 0
