"""Cosines of maps in chunks, of samples in pairs, and ranks."""

from __future__ import annotations

import warnings

import pytest
import torch

from graphkit.transfer.model_cosines import edge_vector, node_cosines, ranks, zero_maps


@pytest.mark.parametrize("chunk_floats", [1, 11, 12, 24, 10_000])
def test_chunks_change_nothing(chunk_floats: int) -> None:
    torch.manual_seed(0)
    maps = [torch.randn(5, 2, 2) for _ in range(3)]
    maps[1][2] = 0
    cosines, zero = node_cosines(maps[:2], maps[2:], chunk_floats=chunk_floats)
    flat = torch.stack([m.flatten(1) for m in maps], 1)
    wanted = torch.cosine_similarity(flat[:, :2, None], flat[:, None], dim=3)
    torch.testing.assert_close(cosines, wanted)
    assert torch.equal(zero, flat.abs().sum(2) == 0)
    assert zero.sum() == 1


def test_maps_of_no_probe_or_of_other_shapes() -> None:
    cosines, zero = node_cosines([torch.zeros(0, 3)])
    assert cosines.shape == (0, 1, 1)
    assert zero.shape == (0, 1)
    with pytest.raises(ValueError, match=r"maps of one shape, got \[\(2, 3\), \(2, 4\)\]"):
        node_cosines([torch.ones(2, 4)], [torch.ones(2, 3)])
    with pytest.raises(ValueError, match=r"models \[1, 2\] are not finite"):
        node_cosines(
            [torch.ones(2, 1)], [torch.full((2, 1), torch.nan), torch.tensor([[1], [torch.inf]])]
        )


def test_long_and_short_maps_have_cosines_of_one() -> None:
    cosines, _ = node_cosines([torch.tensor([[3e-15, 0.0]]), torch.tensor([[3e15, 0.0]])])
    torch.testing.assert_close(cosines, torch.ones(1, 2, 2))
    assert cosines.max() <= 1


def test_only_models_with_zero_maps_are_warned_of() -> None:
    zero = torch.tensor([[False, True, False], [False, True, True]])
    with pytest.warns(UserWarning, match=r"so many probes: \{'b': 2, 'c': 1\}") as seen:
        zero_maps(zero, ["a", "b", "c"])
    assert len(seen) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        zero_maps(zero[:, :1], ["a"])


def test_pairs_of_samples_by_loops() -> None:
    torch.manual_seed(0)
    features = torch.randn(4, 2, 3)
    for centre in (True, False):
        rows = features.flatten(1) - features.flatten(1).mean(0) * centre
        wanted = [
            torch.cosine_similarity(rows[k], rows[l], dim=0)
            for k in range(4)
            for l in range(k + 1, 4)
        ]
        torch.testing.assert_close(edge_vector(features, centre), torch.stack(wanted))
    assert torch.equal(edge_vector(features), edge_vector(features, True))
    assert edge_vector(features[:3]).shape == (3,)
    with pytest.raises(ValueError, match="at least three rows, got 2"):
        edge_vector(features[:2])
    features[0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        edge_vector(features)
    assert edge_vector(torch.ones(3, 2)).tolist() == [0, 0, 0]


def test_ranks_are_centred_of_length_one_and_shared_by_ties() -> None:
    found = ranks(torch.tensor([5.0, 1.0, 5.0, 9.0]))
    plain = torch.tensor([2.5, 1.0, 2.5, 4.0]) - 2.5
    torch.testing.assert_close(found, plain / plain.norm())
    assert found.dtype == torch.float32
    assert ranks(torch.ones(3)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("scale", [1e-30, 1e-13, 1e6, 1e30])
def test_scales_change_no_cosine(scale: float) -> None:
    torch.manual_seed(0)
    maps = [torch.randn(5, 4) for _ in range(3)]
    wanted, _ = node_cosines(maps[:2], maps[2:])
    scaled, zero = node_cosines([scale * maps[0], maps[1]], [scale * maps[2]])
    torch.testing.assert_close(scaled, wanted)
    assert not zero.any()
    for centre in (True, False):
        alone = edge_vector(maps[0], centre)
        torch.testing.assert_close(edge_vector(scale * maps[0], centre), alone)
        double = edge_vector(scale**5 * maps[0].double(), centre)
        torch.testing.assert_close(double, edge_vector(maps[0].double(), centre))


def test_doubles_stay_doubles() -> None:
    features = torch.randn(4, 3, dtype=torch.float64) + 1e9
    rows = features - features.mean(0)
    rows = rows / rows.norm(dim=1, keepdim=True)
    wanted = torch.stack([rows[k] @ rows[l] for k in range(4) for l in range(k + 1, 4)])
    torch.testing.assert_close(edge_vector(features), wanted)
