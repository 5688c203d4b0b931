"""The nearest-neighbour two-sample test, by hand and by all permutations."""

from itertools import permutations

import pytest
import torch

from graphkit.metrics import neighbour_test

EDGES = torch.tensor([[0, 1, 1, 2, 3, 4], [1, 0, 2, 1, 4, 3]])


def test_by_hand():
    found = neighbour_test(EDGES, torch.tensor([1, 1, 0, 0, 1]))
    assert found.share == pytest.approx(2 / 6)
    assert found.precision == 1.0
    assert found.recall == pytest.approx(2 / 3)


def test_the_expectation_is_the_mean_over_all_ways_to_give_kinds():
    kinds = [1, 1, 0, 0, 1]
    shares = [
        float((torch.tensor(p)[EDGES[0]] == torch.tensor(p)[EDGES[1]]).float().mean())
        for p in permutations(kinds)
    ]
    found = neighbour_test(EDGES, torch.tensor(kinds), 2000)
    assert found.expected == pytest.approx(sum(shares) / len(shares))
    exact = sum(share >= found.share - 1e-9 for share in shares) / len(shares)
    assert found.p_value == pytest.approx(exact, abs=0.05)


def test_directed_edges_count_for_both_ends_and_the_seed_for_all():
    y = torch.tensor([1, 0, 0])
    found = neighbour_test(torch.tensor([[0], [1]]), y)
    assert (found.precision, found.recall) == (0.5, 1.0)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    assert neighbour_test(EDGES, torch.tensor([1, 1, 0, 0, 1])) == neighbour_test(
        EDGES, torch.tensor([1, 1, 0, 0, 1])
    )
    assert torch.equal(torch.get_rng_state(), state)


def test_wrong_arguments_are_named():
    for y in (torch.ones(5).long(), torch.tensor([0, 1, 2, 0, 1])):
        with pytest.raises(ValueError, match="'y' must hold 0 and 1"):
            neighbour_test(EDGES, y)
    with pytest.raises(ValueError, match="no edge"):
        neighbour_test(EDGES[:, :0], torch.tensor([0, 1]))


def test_ends_and_kinds_that_are_none_are_refused() -> None:
    edges, kinds = torch.tensor([[0, 1, 2, -1], [1, 0, 3, 2]]), torch.tensor([1, 1, 0, 0])
    with pytest.raises(ValueError, match="'edge_index' must be from 0 to 3, got -1"):
        neighbour_test(edges, kinds)
    with pytest.raises(TypeError, match="'y' must hold whole numbers"):
        neighbour_test(edges.abs(), kinds.bool())
