import itertools

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.utils import to_dense_adj

from graphkit.datasets import SyntheticFactorGraphs
from graphkit.metrics import factor_ged
from tests.spoiled import spoiled


@pytest.fixture(scope="module")
def sample():
    """A batch of 40 graphs with 4 factors."""
    dataset = SyntheticFactorGraphs(4, 40, seed=2)
    return Batch.from_data_list(list(dataset))


@pytest.fixture(scope="module")
def many():
    """A batch of 2,000 graphs with 4 factors."""
    return Batch.from_data_list(list(SyntheticFactorGraphs(4, 2000, seed=5)))


def judge(batch, score, **options):
    return factor_ged(score, batch.edge_factor, batch.edge_index, batch.batch, **options)


def brute_force(data, score):
    """The definition with dense matrices and all permutations; scores must not tie."""
    truth = [
        to_dense_adj(data.edge_index[:, own], max_num_nodes=15)[0].numpy()
        for own in data.edge_factor.t()
        if own.any()
    ]
    learned = []
    for column in score.t():
        full = np.full((15, 15), -np.inf)
        full[data.edge_index[0], data.edge_index[1]] = column
        learned.append((full + full.T) / 2)

    def distance(true, guess):
        best = np.argsort(-guess, axis=None)[: int(true.sum())]
        chosen = np.zeros(225)
        chosen[best] = 1
        return np.abs(true.flatten() - chosen).sum()

    options = itertools.permutations(range(len(learned)), len(truth))
    return min(
        sum(distance(t, learned[k]) for t, k in zip(truth, chosen, strict=True))
        for chosen in options
    ) / len(truth)


def test_equals_brute_force(sample):
    score = torch.randn(sample.num_edges, 4, dtype=torch.float64)
    result = judge(sample, score, floors=False)
    bounds = sample._slice_dict["edge_index"]
    expected = [
        brute_force(sample[i], score[bounds[i] : bounds[i + 1]]) for i in range(sample.num_graphs)
    ]
    assert result.costs.tolist() == pytest.approx(expected)
    assert (result.costs >= 0).all()


def test_oracle_is_perfect(sample):
    order = torch.tensor([2, 0, 3, 1])
    result = judge(sample, sample.edge_factor[:, order].float())
    assert (result.mean, result.std, result.consistency) == (0.0, 0.0, 1.0)
    there = sample.y > 0
    assert torch.equal(result.matches[there], order.argsort().expand(40, 4)[there])
    assert (result.matches[~there] == -1).all()
    assert result.compare()["t"] < -20


def test_order_of_learned_factors_does_not_matter(sample):
    score = torch.randn(sample.num_edges, 4)
    first = judge(sample, score, floors=False)
    second = judge(sample, score[:, [3, 1, 0, 2]], floors=False)
    assert torch.equal(first.costs, second.costs)


def test_published_random_floor(many):
    result = judge(many, torch.ones(many.num_edges, 4))
    random = result.floors["random_gate"]
    assert random.mean == pytest.approx(13.1, abs=0.3)
    assert random.consistency == pytest.approx(0.36, abs=0.03)


def test_random_ties_show_what_chance_has_in_consistency(many):
    result = judge(many, torch.ones(many.num_edges, 4), break_ties="random", draws=1)
    assert result.floors["random_gate"].consistency == pytest.approx(0.27, abs=0.02)
    assert result.consistency == pytest.approx(0.27, abs=0.02)


def test_equal_scores_share_the_places(sample):
    flat = judge(sample, torch.ones(sample.num_edges, 4))
    own = sample.edge_factor.double()
    graph = sample.batch[sample.edge_index[0]]
    edges = torch.zeros(40).double().index_add(0, graph, torch.ones_like(graph).double())
    size = torch.zeros(40, 4).double().index_add(0, graph, own)
    expected = (2 * size * (1 - size / edges[:, None])).sum(1) / (size > 0).sum(1)
    assert flat.costs.tolist() == pytest.approx(expected.tolist())
    assert torch.equal(flat.floors["single_graph"].costs, flat.costs)


def test_saturated_gates_gain_nothing_from_the_order_of_edges(sample):
    gate = torch.ones(sample.num_edges, 4)
    order = torch.randperm(sample.num_edges)
    shuffled = factor_ged(
        gate, sample.edge_factor[order], sample.edge_index[:, order], sample.batch, floors=False
    )
    assert torch.allclose(shuffled.costs, judge(sample, gate, floors=False).costs)


def test_self_loops_do_not_count(sample):
    nodes = torch.arange(sample.num_nodes)
    edges = torch.cat([sample.edge_index, nodes.expand(2, -1)], 1)
    score = torch.randn(sample.num_edges, 4)
    padded = torch.cat([score, torch.full((nodes.numel(), 4), 9.0)])
    truth = torch.cat([sample.edge_factor, torch.ones(nodes.numel(), 4, dtype=torch.bool)])
    with_loops = factor_ged(padded, truth, edges, sample.batch, floors=False)
    assert torch.equal(with_loops.costs, judge(sample, score, floors=False).costs)


def test_too_few_learned_factors_cost_what_they_miss(sample):
    result = judge(sample, sample.edge_factor[:, :1].float(), floors=False)
    graph = sample.batch[sample.edge_index[0]]
    size = torch.zeros(40, 4).double().index_add(0, graph, sample.edge_factor.double())
    only_missed = sample.y[:, 0] > 0
    expected = size[:, 1:].sum(1) / 2
    assert result.costs[only_missed].tolist() == pytest.approx(expected[only_missed].tolist())


def test_graphs_without_edges_or_factors_have_no_cost():
    edge_index = torch.tensor([[0, 1], [1, 0]])
    result = factor_ged(
        torch.ones(2, 1), torch.ones(2, 1), edge_index, torch.tensor([0, 0, 1]), floors=False
    )
    assert result.costs.isnan().tolist() == [False, True]
    assert result.mean == 0.0


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"score": torch.ones(3, 2)}, "score"),
        ({"score": spoiled((4, 2))}, "score"),
        ({"truth": torch.ones(4)}, "truth"),
        ({"truth": torch.tensor([[1], [0], [0], [0]])}, "truth"),
        ({"edge_index": torch.tensor([[0, 1, 1, 1], [1, 0, 2, 2]])}, "edge_index"),
        ({"break_ties": "last"}, "break_ties"),
    ],
)
def test_refuses_by_name(change, name):
    given = {
        "score": torch.ones(4, 2),
        "truth": torch.ones(4, 1),
        "edge_index": torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]),
    }
    with pytest.raises(ValueError, match=name):
        factor_ged(**{**given, **change})


def test_unknown_floor_is_refused(sample):
    with pytest.raises(ValueError, match="floor"):
        judge(sample, torch.ones(sample.num_edges, 4)).compare("ceiling")


def test_infinite_scores_are_refused() -> None:
    edges = torch.tensor([[0, 1], [1, 0]])
    with pytest.raises(ValueError, match="'score' holds NaN or infinite"):
        factor_ged(torch.full((2, 1), -torch.inf), torch.ones(2, 1), edges)
