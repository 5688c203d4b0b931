"""Against the published definition, written out with dense matrices and sets."""

import numpy as np
import pytest
import torch

from graphkit.vision import jaccard_edges, rerank
from graphkit.vision.reid import k_reciprocal
from tests.spoiled import spoiled


def dense(x, k1, k2, variant="paper"):
    """The Jaccard distances ``[N, N]`` by sets and sums over all points."""
    x = x.double().numpy()
    distance = np.stack([((row - x) ** 2).sum(1) for row in x])
    order = np.argsort(distance - np.eye(len(x)), axis=1, kind="stable")
    if variant == "released":
        distance = distance / distance.max(1, keepdims=True)

    def mutual(p, k):
        return {g for g in order[p, : k + 1] if p in order[g, : k + 1]}

    half, values = int(np.around(k1 / 2)), np.zeros_like(distance)
    for p in range(len(x)):
        members = mutual(p, k1)
        wide = set(members)
        for q in members:
            other = mutual(q, half)
            common, needed = 3 * len(members & other), 2 * len(other)
            if common > needed or (common == needed and variant == "paper"):
                wide |= other
        wide = sorted(wide)
        values[p, wide] = np.exp(-distance[p, wide])
        if variant == "released":
            values[p] /= values[p].sum()
    values = np.stack([values[order[p, :k2]].mean(0) for p in range(len(x))])
    rows = [np.minimum(v, values).sum(1) / np.maximum(v, values).sum(1) for v in values]
    return torch.from_numpy(1 - np.stack(rows))


def filled(edges, distance, count):
    matrix = torch.ones(count, count, dtype=torch.double)
    matrix[edges[0], edges[1]] = distance.double()
    return matrix.fill_diagonal_(0.0)


def blobs(count, groups=25, spread=0.35, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centre = torch.randn(groups, 6, generator=generator, dtype=torch.double)
    x = centre[torch.arange(count) % groups]
    x = x + spread * torch.randn(count, 6, generator=generator, dtype=torch.double)
    return torch.nn.functional.normalize(x, dim=1)


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_equal_to_the_dense_definition_on_500_images(variant):
    x = blobs(500)
    edges, distance = jaccard_edges(x, 20, 6, variant)
    assert torch.allclose(filled(edges, distance, 500), dense(x, 20, 6, variant), atol=1e-6)
    assert 500 < edges.size(1) < 500 * 499


@pytest.mark.parametrize(("k1", "k2"), [(1, 1), (5, 1), (4, 9), (7, 3), (60, 6)])
def test_other_sizes_and_more_neighbours_than_points(k1, k2):
    x = blobs(40, 5)
    edges, distance = jaccard_edges(x, k1, k2)
    assert torch.allclose(filled(edges, distance, 40), dense(x, k1, k2), atol=1e-6)


def test_blocks_change_nothing(monkeypatch):
    x = blobs(90)
    edges, distance = jaccard_edges(x)
    monkeypatch.setattr(k_reciprocal, "CHUNK", 400)
    again, other = jaccard_edges(x)
    assert torch.equal(edges, again)
    assert torch.allclose(distance, other, atol=1e-12)


def test_the_variants_differ():
    x = blobs(60, 6)
    first, second = (filled(*jaccard_edges(x, 9, 3, v), 60) for v in ("paper", "released"))
    assert (first - second).abs().max() > 0.01


def test_symmetric_in_the_unit_interval_and_sorted():
    edges, distance = jaccard_edges(blobs(70), 8, 3)
    matrix = filled(edges, distance, 70)
    assert torch.allclose(matrix, matrix.T, atol=1e-12)
    assert 0 <= distance.min() <= distance.max() < 1
    assert torch.equal(edges, edges[:, (edges[0] * 70 + edges[1]).argsort()])
    assert (edges[0] != edges[1]).all()


def test_only_near_pairs_on_request():
    x = blobs(70)
    edges, distance = jaccard_edges(x, 8, 3)
    near, part = jaccard_edges(x, 8, 3, max_distance=0.6)
    assert 0 < near.size(1) < edges.size(1)
    assert torch.equal(near, edges[:, distance < 0.6])
    assert torch.equal(part, distance[distance < 0.6])


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_every_sample_keeps_its_nearest_and_those_that_keep_it(variant):
    # Vectors without groups: hubs make most of the pairs share a little.
    x = torch.randn(120, 16, generator=torch.Generator().manual_seed(0)).double()
    expected = dense(x, 12, 6, variant)
    for count in (1, 7, 60):
        edges, distance = jaccard_edges(x, 12, 6, variant, max_neighbors=count)
        result = torch.full((120, 120), 1.0).double()
        result[edges[0], edges[1]] = distance
        torch.testing.assert_close(result, result.t())
        own = expected.clone().fill_diagonal_(torch.inf)
        last = own.kthvalue(count, dim=1).values
        # Who is at the limit but for rounding may be in or out.
        inside = own < torch.maximum(last, last.unsqueeze(1)).clamp(max=1) - 1e-9
        outside = own > torch.maximum(last, last.unsqueeze(1)) + 1e-9
        torch.testing.assert_close(result[inside], expected[inside])
        assert (result[outside] == 1).all()
        assert edges.size(1) <= 2 * 120 * count
        assert torch.equal(edges, edges[:, (edges[0] * 120 + edges[1]).argsort()])
    every, _ = jaccard_edges(x, 12, 6, variant, max_neighbors=None)
    assert edges.size(1) < every.size(1)


def test_of_equals_no_more_are_kept_and_queries_keep_their_own():
    edges, distance = jaccard_edges(torch.ones(50, 3), 50, 6, max_neighbors=4)
    assert 50 * 4 <= edges.size(1) <= 2 * 50 * 4
    assert distance.abs().max() < 1e-6
    edges, _ = jaccard_edges(torch.ones(50, 3), 20, 6, rows=10, max_neighbors=4)
    assert edges[0].bincount().tolist() == [4] * 10


def test_memory_of_all_pairs_is_never_held(monkeypatch):
    # What numpy and torch would need for all distances, in numbers: the largest tensor made.
    from torch.utils._python_dispatch import TorchDispatchMode

    sizes = []

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            sizes.append(result.numel() if isinstance(result, torch.Tensor) else 0)
            return result

    monkeypatch.setattr(k_reciprocal, "CHUNK", 10_000)
    x = torch.randn(400, 32, generator=torch.Generator().manual_seed(0))
    with Sizes():
        edges, _ = jaccard_edges(x, max_neighbors=20)
    assert edges.size(1) <= 2 * 400 * 20
    assert max(sizes) <= 2 * edges.size(1) < 400 * 400 / 2


def test_duplicates_are_at_distance_zero_and_far_groups_have_no_edge():
    same, distance = jaccard_edges(torch.ones(5, 3), 20, 6)
    assert same.size(1) == 20
    assert distance.abs().max() < 1e-6
    x = torch.cat([torch.rand(30, 2), torch.rand(30, 2) + 100])
    edges, _ = jaccard_edges(x, 20, 6)
    assert (edges[0] // 30 == edges[1] // 30).all()


@pytest.mark.parametrize("count", [0, 1])
def test_nobody_to_compare_with(count):
    edges, distance = jaccard_edges(torch.rand(count, 4))
    assert edges.shape == (2, 0)
    assert distance.shape == (0,)


def test_float16_is_computed_in_float32():
    x = blobs(50).half()
    edges, distance = jaccard_edges(x)
    full, expected = jaccard_edges(x.float())
    assert distance.dtype == torch.float32
    assert torch.equal(edges, full)
    assert torch.equal(distance, expected)


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_reranking_mixes_both_distances(variant):
    x = blobs(60, 6)
    plain = torch.cdist(x, x).square()
    if variant == "released":
        plain = plain / plain.amax(1, keepdim=True)
    expected = 0.7 * dense(x, 9, 3, variant) + 0.3 * plain
    result = rerank(x[:12], x[12:], 9, 3, 0.3, variant)
    assert torch.allclose(result, expected[:12, 12:], atol=1e-6)


def test_wrong_arguments_are_named():
    x = torch.rand(5, 2)
    for name, value in (("max_distance", 0.0), ("max_distance", 1.5), ("max_neighbors", 0)):
        with pytest.raises(ValueError, match=f"'{name}'"):
            jaccard_edges(x, **{name: value})
    for error, arguments in (
        ("'x'", (x[0],)),
        ("'x'", (x.long(),)),
        ("'x' holds NaN", (spoiled(x),)),
        ("'k1'", (x, 0)),
        ("'k2'", (x, 3, 0)),
        ("'variant'", (x, 3, 2, "code")),
    ):
        with pytest.raises(ValueError, match=error):
            jaccard_edges(*arguments)
    with pytest.raises(ValueError, match="'x' holds NaN"):
        rerank(x, spoiled(x))
    with pytest.raises(ValueError, match="'gallery'"):
        rerank(x, torch.rand(3, 4))
    with pytest.raises(ValueError, match="'weight'"):
        rerank(x, x, weight=2.0)


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_features_far_from_the_origin_have_the_same_neighbours(variant):
    generator = torch.Generator().manual_seed(0)
    # So few binary digits that an offset rounds nothing.
    x = torch.randint(0, 4096, (60, 4), generator=generator).float() / 1024
    edges, distance = jaccard_edges(x, 10, 3, variant)
    far, apart = jaccard_edges(x + 2048, 10, 3, variant)
    assert torch.equal(far, edges)
    torch.testing.assert_close(apart, distance)
    one, other = (rerank(y[:30], y[30:], 10, 3, variant=variant) for y in (x, x + 2048))
    torch.testing.assert_close(one, other)
