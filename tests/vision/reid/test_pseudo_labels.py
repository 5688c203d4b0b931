import itertools

import pytest
import torch

from graphkit.vision import (
    CentroidHead,
    DensityClusters,
    MeansClusters,
    density_radius,
    jaccard_edges,
    match_labels,
)
from graphkit.vision.reid import pseudo_labels


def blobs(groups=4, size=9, spread=0.01):
    generator = torch.Generator().manual_seed(0)
    centre = torch.randn(groups, 5, generator=generator)
    y = torch.arange(groups).repeat_interleave(size)
    return centre[y] + spread * torch.randn(len(y), 5, generator=generator), y


def test_the_radius_is_the_mean_of_the_nearest_pairs():
    x, _ = blobs(spread=0.5)
    edges, distance = jaccard_edges(x.double(), 6, 3)
    matrix = torch.ones(36, 36, dtype=torch.double)
    matrix[edges[0], edges[1]] = distance
    pairs = matrix[tuple(torch.triu_indices(36, 36, 1))].sort().values
    pairs = pairs[pairs > 1e-9]
    for share in (0.05, 0.2, 1.0):
        expected = pairs[: round(share * len(pairs))].mean()
        assert density_radius(distance, 36, share) == pytest.approx(float(expected))


def test_pairs_at_distance_zero_do_not_count():
    distance = torch.tensor([0.0, 0.0, 0.5, 0.5])
    assert density_radius(distance, 3, 1.0) == pytest.approx((0.5 + 1.0) / 2)
    with pytest.raises(ValueError, match="'share'"):
        density_radius(distance, 3, 0.0)


def test_density_finds_groups_and_leaves_the_lonely_out():
    x, y = blobs()
    x = torch.cat([x, torch.full((1, 5), 50.0)])
    label = DensityClusters(eps=0.5, k1=8, k2=1)(x)
    assert label[-1] == -1
    assert len(torch.unique(torch.stack([label[:-1], y], 1), dim=0)) == 4


def test_equal_to_dbscan_on_the_dense_distances():
    from sklearn.cluster import DBSCAN

    x, _ = blobs(6, 8, spread=0.6)
    edges, distance = jaccard_edges(x, 5, 2)
    matrix = torch.ones(48, 48).fill_diagonal_(0)
    matrix[edges[0], edges[1]] = distance
    expected = DBSCAN(eps=0.5, min_samples=4, metric="precomputed").fit(matrix.numpy()).labels_
    label = DensityClusters(eps=0.5, k1=5, k2=2)(x)
    assert label.tolist() == expected.tolist()
    assert -1 in label
    assert label.max() > 0


@pytest.mark.parametrize("eps", [0.5, None])
def test_neighbours_of_a_crowded_sample_all_count(monkeypatch, eps):
    x, _ = blobs(spread=0.5)
    expected = DensityClusters(eps, 0.2, min_samples=6, k1=8)
    label = expected(x)
    assert len(label.unique()) > 2

    def few(*args, max_neighbors=3, **options):
        """The edges, of which a call that says nothing gets few."""
        return jaccard_edges(*args, max_neighbors=max_neighbors, **options)

    monkeypatch.setattr(pseudo_labels, "jaccard_edges", few)
    cluster = DensityClusters(eps, 0.2, min_samples=6, k1=8)
    # The second call knows the radius, and asks for what lies within.
    for _ in range(2):
        assert torch.equal(cluster(x), label)
    assert cluster.eps == expected.eps


def test_the_radius_stays_after_the_first_call():
    x, _ = blobs(spread=0.4)
    cluster = DensityClusters(share=0.1, k1=6)
    cluster(x)
    eps = cluster.eps
    cluster(10 * x + torch.randn_like(x))
    assert cluster.eps == eps
    assert 0 < eps < 0.9


def test_nobody_and_one():
    assert DensityClusters()(torch.empty(0, 3)).shape == (0,)
    assert DensityClusters()(torch.rand(1, 3)).tolist() == [-1]
    assert DensityClusters(min_samples=1)(torch.rand(1, 3)).tolist() == [0]
    assert MeansClusters(1)(torch.rand(4, 3)).tolist() == [0] * 4


def test_means_look_at_directions():
    x, y = blobs()
    label = MeansClusters(4)(x * torch.rand(len(x), 1).add(0.1))
    assert len(torch.unique(torch.stack([label, y], 1), dim=0)) == 4
    with pytest.raises(ValueError, match="2 rows for 4"):
        MeansClusters(4)(x[:2])


@pytest.mark.parametrize(
    ("kind", "options", "name"),
    [
        (DensityClusters, {"eps": 0.0}, "'eps'"),
        (DensityClusters, {"eps": 0.95}, "'eps'"),
        (DensityClusters, {"reach": 0.0}, "'reach'"),
        (DensityClusters, {"min_samples": 0}, "'min_samples'"),
        (MeansClusters, {"count": 0}, "'count'"),
    ],
)
def test_wrong_options_are_named(kind, options, name):
    with pytest.raises(ValueError, match=name):
        kind(**options)


def test_matching_shares_the_most_samples_whatever_the_numbers():
    generator = torch.Generator().manual_seed(0)
    old, new = (torch.randint(-1, 4, (40,), generator=generator) for _ in range(2))
    result = match_labels(old, new, 9)
    best = max(
        sum(int(((old == p) & (new == k)).sum()) for k, p in enumerate(order))
        for order in itertools.permutations(range(4))
    )
    assert int(((old == result) & (new >= 0)).sum()) == best
    assert torch.equal(result < 0, new < 0)
    for order in itertools.permutations(range(4)):
        renamed = torch.where(new < 0, -1, torch.tensor(order)[new])
        assert torch.equal(match_labels(old, renamed, 9), result)


def test_new_clusters_get_free_numbers_in_order():
    old = torch.tensor([3, 3, -1, -1, -1])
    new = torch.tensor([7, 7, 9, 2, -1])
    assert match_labels(old, new, 4).tolist() == [3, 3, 0, 1, -1]
    none = torch.full((5,), -1)
    assert match_labels(none, none, 4).tolist() == [-1] * 5
    assert match_labels(none[:0], none[:0], 4).shape == (0,)
    with pytest.raises(ValueError, match="3 clusters and room for 2"):
        match_labels(old, new, 2)
    with pytest.raises(ValueError, match="'previous'"):
        match_labels(old, new[:3], 4)


def test_a_head_begins_at_the_centroids():
    head = CentroidHead(5, 6)
    x, y = blobs()
    assert not head.active.any()
    before = head.weight.detach().clone()
    head.restart(x, torch.where(y == 2, 5, torch.where(y == 3, -1, y)))
    assert head.active.tolist() == [True, True, False, False, False, True]
    mean = torch.stack([x[y == i].mean(0) for i in (0, 1, 2)])
    expected = torch.nn.functional.normalize(mean, dim=1)
    torch.testing.assert_close(head.weight[[0, 1, 5]], expected)
    assert torch.equal(head.weight[2:5], before[2:5])
    logits = head(x)
    assert (logits[:, 2:5] == -torch.inf).all()
    torch.testing.assert_close(logits[:, :2], x @ expected[:2].t())


def test_a_scaled_head_gives_cosines():
    head = CentroidHead(5, 2, scale=10.0)
    head.open(2)
    x, _ = blobs()
    expected = 10 * torch.cosine_similarity(x[:, None], head.weight[None], dim=2)
    torch.testing.assert_close(head(x), expected)
    for options in ((5, 0), (0, 5), (5, 2, 0.0)):
        with pytest.raises(ValueError, match="must be"):
            CentroidHead(*options)
    with pytest.raises(ValueError, match="'count'"):
        head.open(3)
