import networkx as nx
import pytest
import torch
from torch_geometric.loader import DataLoader
from torch_geometric.utils import to_dense_adj

from graphkit.datasets import SyntheticFactorGraphs
from graphkit.datasets.synthetic_factor_graphs import TEMPLATES

EDGES = [6, 8, 12, 12, 12, 12]


def dense(data, weight):
    """Adjacency matrix of the edges that weight selects."""
    return to_dense_adj(data.edge_index[:, weight], max_num_nodes=data.num_nodes)[0]


@pytest.mark.parametrize("num_factors", [2, 3, 4, 5, 6])
def test_graphs_are_sums_of_the_templates_their_labels_name(num_factors):
    templates = [make() for make in TEMPLATES.values()]
    for data in SyntheticFactorGraphs(num_factors, 30, seed=1):
        there = data.y[0].nonzero().flatten().tolist()
        assert len(there) == -(-num_factors // 2)
        total = torch.zeros(15, 15)
        for factor in there:
            part = dense(data, data.edge_factor[:, factor])
            found = nx.from_numpy_array(part.numpy())
            found.remove_nodes_from(list(nx.isolates(found)))
            assert nx.is_isomorphic(found, templates[factor])
            total += part
        assert torch.equal(total, data.x)
        assert torch.equal(dense(data, slice(None)) > 0, total > 0)
        absent = data.y[0] == 0
        assert not data.edge_factor[:, absent].any()


def test_counts_of_the_templates():
    assert [make().number_of_edges() for make in TEMPLATES.values()] == EDGES


def test_published_statistics():
    dataset = SyntheticFactorGraphs(num_graphs=3000)
    edges = dataset.slices["edge_index"].diff().float()
    overlaps = (dataset.x.view(3000, -1) > 1).any(1).float()
    assert abs(edges.mean() - 36.6) < 0.6
    assert abs(overlaps.mean() - 0.53) < 0.04


def test_seed_decides():
    first, again, other = (SyntheticFactorGraphs(num_graphs=20, seed=s) for s in (3, 3, 4))
    assert torch.equal(first.x, again.x)
    assert torch.equal(first.edge_index, again.edge_index)
    assert not torch.equal(first.x, other.x)


def test_batches_and_splits():
    dataset = SyntheticFactorGraphs(num_graphs=20)
    train, val, test = dataset.splits()
    assert (len(train), len(val), len(test)) == (14, 2, 4)
    assert torch.equal(test[0].x, dataset[16].x)
    batch = next(iter(DataLoader(dataset, 20)))
    assert batch.validate()
    assert batch.edge_factor.shape == (batch.num_edges, 4)
    assert batch.y.shape == (20, 4)
    assert dataset.num_classes == 4


@pytest.mark.parametrize(
    ("name", "value"), [("num_factors", 1), ("num_factors", 7), ("num_graphs", 0)]
)
def test_refuses_numbers_out_of_range(name, value):
    with pytest.raises(ValueError, match=name):
        SyntheticFactorGraphs(**{name: value})
