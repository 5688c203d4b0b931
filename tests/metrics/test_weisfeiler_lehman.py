from collections import Counter

import pytest
import torch
from torch_geometric.data import Data

from graphkit.datasets import SceneBatch, SyntheticScenes
from graphkit.metrics import wl_features, wl_mmd


def scenes(count, seed=0):
    return list(SyntheticScenes(num_graphs=count, seed=seed))


def counters(data, iterations):
    """Labels written out as nested tuples."""
    labels = [(c,) for c in data.x.tolist()]
    found = Counter((0, label) for label in labels)
    for step in range(1, iterations + 1):
        heard = [[] for _ in labels]
        for s, o, p in zip(*data.edge_index.tolist(), data.edge_attr.tolist(), strict=True):
            heard[o].append(("in", p, labels[s]))
            heard[s].append(("out", p, labels[o]))
        labels = [
            (label, tuple(sorted(h, key=repr))) for label, h in zip(labels, heard, strict=True)
        ]
        found.update((step, label) for label in labels)
    return found


def dot(one, other):
    return sum(count * other[label] for label, count in one.items())


def kernel(one, other):
    norm = (dot(one, one) * dot(other, other)) ** 0.5
    return dot(one, other) / norm if norm else 0.0


@pytest.mark.parametrize("iterations", [0, 1, 3])
def test_features_have_the_inner_products_of_nested_tuples(iterations):
    parts = scenes(12)
    features = wl_features(SceneBatch.from_data(parts), iterations).to_dense()
    slow = [counters(data, iterations) for data in parts]
    expected = torch.tensor([[dot(a, b) for b in slow] for a in slow], dtype=torch.double)
    assert torch.equal(features @ features.t(), expected)


def test_mmd_by_its_definition():
    real, fake = scenes(9), scenes(7, seed=5)
    a, b = ([counters(data, 2) for data in part] for part in (real, fake))
    within = [
        sum(kernel(x, y) for i, x in enumerate(s) for j, y in enumerate(s) if i != j)
        / (len(s) * (len(s) - 1))
        for s in (a, b)
    ]
    between = sum(kernel(x, y) for x in a for y in b) / (len(a) * len(b))
    found = wl_mmd(SceneBatch.from_data(real), SceneBatch.from_data(fake))
    assert found == pytest.approx(sum(within) - 2 * between)


def test_renaming_objects_does_not_matter_and_other_predicates_do():
    data = scenes(3)[0]
    order = torch.randperm(data.num_nodes)
    other = Data(
        x=data.x[order], edge_index=order.argsort()[data.edge_index], edge_attr=data.edge_attr
    )
    features = wl_features(SceneBatch.from_data([data, other])).to_dense()
    assert torch.equal(features[0], features[1])
    turned = Data(x=data.x, edge_index=data.edge_index.flip(0), edge_attr=data.edge_attr)
    features = wl_features(SceneBatch.from_data([data, turned])).to_dense()
    assert not torch.equal(features[0], features[1])


def test_the_distance_grows_with_the_share_of_wrong_graphs():
    real = SceneBatch.from_data(scenes(300))
    fresh = scenes(300, seed=1)
    wrong = [
        Data(x=(d.x + 3) % 28, edge_index=d.edge_index, edge_attr=(d.edge_attr + 4) % 13)
        for d in fresh
    ]
    found = [
        wl_mmd(real, SceneBatch.from_data(wrong[:cut] + fresh[cut:])) for cut in (0, 100, 200, 300)
    ]
    assert abs(found[0]) < 0.01
    assert found == sorted(found)
    assert found[-1] > 0.1


def test_empty_graphs_are_finite_and_single_graphs_refused():
    empty = Data(
        x=torch.zeros(0).long(),
        edge_index=torch.zeros(2, 0).long(),
        edge_attr=torch.zeros(0).long(),
    )
    assert wl_mmd(SceneBatch.from_data([empty] * 2), SceneBatch.from_data([empty] * 3)) == 0.0
    with pytest.raises(ValueError, match="two graphs or more, got 1 and 2"):
        wl_mmd(SceneBatch.from_data(empty), SceneBatch.from_data([empty] * 2))
    with pytest.raises(ValueError, match="'iterations' must not be negative"):
        wl_features(SceneBatch.from_data(empty), -1)
