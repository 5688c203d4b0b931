import pytest
import torch
from torch_geometric.data import Data

from graphkit.datasets import class_split, load


def make(y):
    y = torch.as_tensor(y)
    return Data(x=torch.zeros(len(y), 1), edge_index=torch.empty(2, 0, dtype=torch.long), y=y)


def test_every_class_gets_its_share_and_the_rest_is_tested():
    data = class_split(make([0] * 70 + [1] * 60 + [2] * 51), seed=1)
    for label, size in enumerate((70, 60, 51)):
        here = data.y == label
        assert int(data.train_mask[here].sum()) == 20
        assert int(data.val_mask[here].sum()) == 30
        assert int(data.test_mask[here].sum()) == size - 50
    total = data.train_mask.long() + data.val_mask.long() + data.test_mask.long()
    assert (total == 1).all()


def test_a_seed_means_the_same_split_and_another_seed_another():
    graph = load("digits")[0]
    state = torch.get_rng_state()
    one, same, other = (class_split(graph, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.train_mask, same.train_mask)
    assert torch.equal(one.val_mask, same.val_mask)
    assert not torch.equal(one.train_mask, other.train_mask)


def test_the_graph_that_came_in_stays_as_it_is():
    graph = make([0, 0, 0, 1, 1, 1])
    keys = set(graph.keys())
    class_split(graph, 1, 1)
    assert set(graph.keys()) == keys


def test_nodes_without_a_label_are_in_no_part():
    data = class_split(make([0, 0, 0, -1, 1, 1, 1, -1]), 1, 1)
    unlabelled = data.y < 0
    assert not (data.train_mask | data.val_mask | data.test_mask)[unlabelled].any()


@pytest.mark.parametrize(
    ("y", "sizes", "message"),
    [
        ([0, 0, 0, 1], (1, 1), "class 1 has 1 nodes"),
        ([0, 0, 1, 1], (1, 1), "no node is left for testing"),
        ([0.0, 1.0], (1, 0), "'data.y' must hold one integer per node"),
        ([[0], [1]], (1, 0), "'data.y' must hold one integer per node"),
        ([0, 0], (0, 1), "'train_per_class'"),
        ([0, 0], (1, -1), "'val_per_class'"),
    ],
)
def test_impossible_splits_are_refused(y, sizes, message):
    with pytest.raises(ValueError, match=message):
        class_split(make(y), *sizes)


def test_a_graph_without_labels_is_refused():
    with pytest.raises(ValueError, match="got None"):
        class_split(Data(x=torch.zeros(3, 1)))
