import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.datasets import load_digits

from graphkit.datasets import DigitsGraph


def test_edges_are_nearest_neighbours_by_brute_force():
    k = 4
    data = DigitsGraph(k=k)[0]
    pixels = load_digits().data
    distance = cdist(pixels, pixels)
    np.fill_diagonal(distance, np.inf)
    reach = np.sort(distance, axis=1)[:, k - 1]
    row, col = data.edge_index.numpy()
    within = (distance[row, col] <= reach[row] + 1e-9) | (distance[row, col] <= reach[col] + 1e-9)
    assert within.all()
    assert data.is_undirected()
    assert not data.has_self_loops()
    assert data.is_coalesced()
    assert int(np.bincount(row).min()) >= k


def test_features_labels_and_split():
    dataset = DigitsGraph(train_per_class=3, val_per_class=4, seed=2)
    data = dataset[0]
    assert data.validate()
    assert torch.equal(data.x, torch.from_numpy(load_digits().data).float() / 16)
    assert data.y.tolist() == load_digits().target.tolist()
    assert (int(data.train_mask.sum()), int(data.val_mask.sum())) == (30, 40)
    assert dataset.num_classes == 10
    assert repr(dataset) == "digits()"


def test_same_seed_same_graph():
    one, other = DigitsGraph(seed=5)[0], DigitsGraph(seed=5)[0]
    assert torch.equal(one.edge_index, other.edge_index)
    assert torch.equal(one.train_mask, other.train_mask)


@pytest.mark.parametrize("k", [0, 1797])
def test_impossible_k_is_refused(k):
    with pytest.raises(ValueError, match=f"'k' must be between 1 and 1796, got {k}"):
        DigitsGraph(k=k)
