import pytest
import torch
from torch_geometric.data import Data

from graphkit.sampling import ClusterData, ClusterLoader
from tests.sampling.graphs import graph


def parts_of(data, **options):
    return ClusterData(data, 6, log=False, algorithm="greedy", **options)


def edges_of(data, nodes):
    """The edges between some nodes, as pairs of labels with their attribute."""
    inside = torch.isin(data.edge_index, nodes).all(0)
    pairs = data.edge_index[:, inside].t().tolist()
    return sorted((*pair, float(a)) for pair, a in zip(pairs, data.edge_attr[inside], strict=True))


@pytest.mark.parametrize("sparse_format", ["csr", "csc"])
def test_parts_and_their_unions_are_induced_graphs(sparse_format):
    data = graph()
    clusters = parts_of(data, sparse_format=sparse_format)
    batches = [clusters[i] for i in range(6)]
    batches += list(ClusterLoader(clusters, batch_size=3, shuffle=True))
    batches += list(ClusterLoader(clusters, batch_size=6))
    seen = torch.cat([batch.y for batch in batches[:6]])
    assert sorted(seen.tolist()) == list(range(60))
    for batch in batches:
        # y is the node's number in the whole graph.
        pairs = batch.y[batch.edge_index].t().tolist()
        found = sorted((*p, float(a)) for p, a in zip(pairs, batch.edge_attr, strict=True))
        assert found == edges_of(data, batch.y)
        assert torch.equal(batch.x, data.x[batch.y])
        assert batch.validate()
    assert batches[-1].num_edges == 400


def test_edges_that_leave_their_part_are_kept_on_request():
    data = graph()
    clusters = parts_of(data, keep_inter_cluster_edges=True)
    assert sum(clusters[i].num_edges for i in range(6)) == 400
    labels = data.y[clusters.partition.node_perm]
    for i in range(6):
        part = clusters[i]
        row, col = part.edge_index
        ends = torch.stack([part.y[row], labels[col]]).t().tolist()
        number = [data.edge_attr.tolist().index(a) for a in part.edge_attr.tolist()]
        assert ends == data.edge_index[:, number].t().tolist()


def test_a_partition_is_kept_and_looked_at(tmp_path):
    data = graph()
    first = parts_of(data, save_dir=tmp_path)
    (file,) = tmp_path.rglob("*.pt")
    again = ClusterData(data, 6, log=False, save_dir=tmp_path)
    assert torch.equal(first.partition.node_perm, again.partition.node_perm)
    for other in (graph(seed=1), graph(50)):
        with pytest.raises(ValueError, match="delete it"):
            parts_of(other, save_dir=tmp_path)
    whole = file.read_bytes()
    saved = torch.load(file)
    for key, wrong in (
        ("index", saved["index"].tolist()),
        ("partptr", saved["partptr"] * 2**40),
        ("partptr", -saved["partptr"]),
        ("edge_perm", saved["edge_perm"].roll(1)),
        ("indptr", saved["indptr"][:-1]),
    ):
        torch.save({**saved, key: wrong}, file)
        with pytest.raises(ValueError, match="delete it"):
            parts_of(data, save_dir=tmp_path)
    for damaged in (b"", whole[:-40], b"junk" + whole):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match="delete it"):
            parts_of(data, save_dir=tmp_path)


def test_what_is_wrong_is_refused_by_name(capsys):
    data = graph()
    with pytest.raises(ValueError, match="'sparse_format'"):
        parts_of(data, sparse_format="coo")
    with pytest.raises(TypeError, match="'cluster_data'"):
        ClusterLoader(data)
    with pytest.raises(IndexError, match="part 6 of 6"):
        parts_of(data)[6]
    ClusterData(data, 2)
    assert "60 nodes into 2 parts" in capsys.readouterr().err


def test_another_algorithm_is_no_kept_partition(tmp_path):
    data = Data(edge_index=torch.randint(30, (2, 90)), num_nodes=30)
    options = {"save_dir": tmp_path, "log": False}
    ClusterData(data, 3, algorithm="greedy", **options)
    ClusterData(data, 3, **options)
    with pytest.raises(ValueError, match="was cut by algorithm='greedy', not 'metis'"):
        ClusterData(data, 3, algorithm="metis", **options)
    with pytest.raises(ValueError, match="must be 'metis' or 'greedy', not 'nonsense'"):
        ClusterData(data, 3, algorithm="nonsense", **options)
