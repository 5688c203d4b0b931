import pytest
import torch
from scipy.stats import chisquare
from torch_geometric.data import Data
from torch_geometric.loader import NodeLoader
from torch_geometric.sampler import NodeSamplerInput

from graphkit.sampling import NeighborSampler
from tests.sampling.graphs import TYPES, graph, hetero

DRAWS = 4000
SMALLEST = 1e-4
"""Below this p-value draws count as wrong; seeds are fixed, so that it happens never or always."""


def star(degree):
    """One node with so many neighbours, the i-th by edge i."""
    edge_index = torch.stack([torch.arange(1, degree + 1), torch.zeros(degree, dtype=torch.long)])
    return Data(edge_index=edge_index, num_nodes=degree + 1, w=torch.arange(degree).double())


def drawn(sampler, rounds=DRAWS):
    """How often each neighbour of node 0 was drawn, and what each round drew."""
    torch.manual_seed(0)
    seeds = torch.zeros(rounds, dtype=torch.long)
    out = sampler.sample_from_nodes(NodeSamplerInput(None, seeds))
    edge = sampler.edge_permutation[out.edge]
    return torch.bincount(edge), edge.view(rounds, -1)


@pytest.mark.parametrize(("degree", "count"), [(5, 1), (7, 3), (9, 8), (60, 40)])
def test_neighbours_are_drawn_uniformly_and_once(degree, count):
    counts, rows = drawn(NeighborSampler(star(degree), [count]))
    assert rows.shape == (DRAWS, count)
    assert all(len(set(row)) == count for row in rows.tolist())
    assert chisquare(counts).pvalue > SMALLEST
    # Pairs, too: a sampler that draws ranges would be uniform in each place.
    together = torch.zeros(degree, degree)
    for row in rows:
        together[row.unsqueeze(1), row] += 1
    pairs = together[torch.triu(torch.ones(degree, degree), 1).bool()]
    if count > 1:
        share = count * (count - 1) / (degree * (degree - 1))
        assert (pairs / DRAWS - share).abs().max() < 5 * (share * (1 - share) / DRAWS) ** 0.5


def test_draws_with_replacement_are_independent():
    counts, rows = drawn(NeighborSampler(star(4), [2], replace=True))
    assert chisquare(counts).pvalue > SMALLEST
    pairs = torch.bincount(rows[:, 0] * 4 + rows[:, 1], minlength=16)
    assert chisquare(pairs).pvalue > SMALLEST
    more = drawn(NeighborSampler(star(3), [7], replace=True), 10)[1]
    assert more.shape == (10, 7)


def test_weighted_draws_follow_the_weights():
    """Without replacement the second draw is in proportion among those that are left."""
    weights = torch.arange(5).double()
    counts, _ = drawn(NeighborSampler(star(5), [3], weight_attr="w", replace=True))
    assert counts[0] == 0
    assert chisquare(counts[1:], weights[1:] / 10 * counts.sum()).pvalue > SMALLEST
    _, rows = drawn(NeighborSampler(star(5), [2], weight_attr="w"))
    pairs = (
        torch.zeros(5, 5).index_put_((rows.amin(1), rows.amax(1)), torch.ones(DRAWS), True).double()
    )
    wanted, share = torch.zeros(5, 5).double(), weights / 10
    for i in range(1, 5):
        for j in range(i + 1, 5):
            wanted[i, j] = share[i] * share[j] / (1 - share[i]) + share[j] * share[i] / (
                1 - share[j]
            )
    where = wanted > 0
    assert pairs[~where].sum() == 0
    assert chisquare(pairs[where], wanted[where] * DRAWS, sum_check=False).pvalue > SMALLEST


def test_weight_zero_is_never_drawn_and_all_means_all():
    data = star(6)
    data.w[:] = 0
    data.w[2] = 1e-300
    for replace, size in ((False, 1), (True, 4)):
        counts, rows = drawn(NeighborSampler(data, [4], weight_attr="w", replace=replace), 20)
        assert rows.shape == (20, size)
        assert counts.tolist() == [0, 0, 20 * size]
    assert drawn(NeighborSampler(data, [-1], weight_attr="w"), 3)[0].tolist() == [3] * 6
    data.w[2] = 0
    assert drawn(NeighborSampler(data, [4], weight_attr="w", replace=True), 3)[0].sum() == 0


def test_hops_over_types_find_what_a_search_finds():
    data = hetero()
    for seed_type in ("author", "paper"):
        seeds = torch.tensor([3, 0, 3])
        for backward in (False, True):
            sampler = NeighborSampler(
                data, [-1, -1], sample_direction="backward" if backward else "forward"
            )
            out = sampler.sample_from_nodes(NodeSamplerInput(None, seeds, None, seed_type))
            level, edges = {(seed_type, int(s)) for s in seeds}, {key: set() for key in TYPES}
            seen = set(level)
            for _ in range(2):
                found = set()
                for key in TYPES:
                    ends = data[key].edge_index.t().tolist()
                    for number, (source, target) in enumerate(ends):
                        ends = (key[0], source), (key[2], target)
                        near, far = ends if backward else ends[::-1]
                        if near in level:
                            edges[key].add(number)
                            found.add(far)
                level, seen = found - seen, seen | found
            assert {(k, int(v)) for k, nodes in out.node.items() for v in nodes} == seen
            assert out.node[seed_type][:3].tolist() == [3, 0, 3]
            for key in TYPES:
                edge = sampler.edge_permutation[key][out.edge[key]]
                assert set(edge.tolist()) == edges[key]
                ends = torch.stack([out.node[key[0]][out.row[key]], out.node[key[2]][out.col[key]]])
                assert torch.equal(ends, data[key].edge_index[:, edge])
                assert sum(out.num_sampled_edges[key]) == edge.numel()
            for kind, sizes in out.num_sampled_nodes.items():
                assert len(sizes) == 3
                assert sum(sizes) == out.node[kind].numel()


def test_each_edge_type_has_a_count_of_its_own():
    counts = dict(zip(TYPES, ([2, 0], [0, 3], [1, 1]), strict=True))
    seeds = NodeSamplerInput(None, torch.arange(25), None, "paper")
    out = NeighborSampler(hetero(), counts).sample_from_nodes(seeds)
    assert out.num_sampled_edges[TYPES[1]][0] == 0
    assert out.num_sampled_edges[TYPES[0]][1] == 0
    into = torch.bincount(out.col[TYPES[0]])
    assert int(into.max()) == 2
    with pytest.raises(ValueError, match="Missing number of neighbors"):
        NeighborSampler(hetero(), {TYPES[0]: [1]})


def test_backward_follows_edges_from_their_sources():
    data = graph()
    sampler = NeighborSampler(data, [-1], sample_direction="backward")
    out = sampler.sample_from_nodes(NodeSamplerInput(None, torch.tensor([7])))
    edge = sampler.edge_permutation[out.edge]
    assert set(edge.tolist()) == set((data.edge_index[0] == 7).nonzero().view(-1).tolist())
    assert torch.equal(out.node[torch.stack([out.row, out.col])], data.edge_index[:, edge])


def test_a_seed_number_fixes_draws_in_every_process():
    """Also behind PyG's own loader, which knows nothing of it."""
    data, outs = graph(), []
    for workers in (0, 1, 2):
        loader = NodeLoader(data, NeighborSampler(data, [3, 2], seed=5), num_workers=workers)
        outs.append([batch.e_id.tolist() for batch in loader])
    assert outs[0] == outs[1] == outs[2]
    other = NodeLoader(data, NeighborSampler(data, [3, 2], seed=6))
    assert [batch.e_id.tolist() for batch in other] != outs[0]
    torch.manual_seed(1)
    sampler = NeighborSampler(data, [3, 2])
    first = sampler.sample_from_nodes(NodeSamplerInput(None, torch.arange(9))).edge
    assert not torch.equal(
        first, sampler.sample_from_nodes(NodeSamplerInput(None, torch.arange(9))).edge
    )
    torch.manual_seed(1)
    assert torch.equal(
        first, sampler.sample_from_nodes(NodeSamplerInput(None, torch.arange(9))).edge
    )


def test_threads_do_not_change_what_is_drawn(monkeypatch):
    data, seeds = graph(500, 20_000), NodeSamplerInput(None, torch.arange(500))
    sampler = NeighborSampler(data, [10, 10], seed=1)
    alone = sampler.sample_from_nodes(seeds)
    monkeypatch.setattr("graphkit.ops.cpu.threads.SMALL", 1)
    monkeypatch.setattr("graphkit.ops.cpu.threads.SMALL_FOR_POOL", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert torch.equal(alone.edge, sampler.sample_from_nodes(seeds).edge)
    finally:
        torch.set_num_threads(before)


def broken(**changes):
    data = graph()
    for name, value in changes.items():
        data[name] = value
    return data


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        (broken(edge_index=torch.tensor([[0], [60]])), {}, "holds node 60, but there are 60"),
        (broken(edge_index=torch.tensor([[-1], [0]])), {}, "holds node -1"),
        (broken(edge_index=torch.zeros(2, 3)), {}, "must be an int64 tensor"),
        (broken(), {"num_neighbors": [2, -2]}, "'num_neighbors'"),
        (broken(), {"num_neighbors": [2.5]}, "'num_neighbors'"),
        (broken(), {"num_neighbors": {TYPES[0]: [2]}}, "'num_neighbors' must be a list"),
        (broken(), {"time_attr": "when"}, "'when' is neither"),
        (broken(), {"weight_attr": "w"}, "'weight_attr' is 'w', which edges do not have"),
        (broken(), {"weight_attr": "x"}, r"'x' must have shape \[400\]"),
        (broken(w=torch.full((400,), -1.0)), {"weight_attr": "w"}, "negative or not finite"),
        (broken(w=torch.full((400,), torch.nan)), {"weight_attr": "w"}, "negative or not finite"),
        (broken(time=torch.full((60,), torch.nan)), {"time_attr": "time"}, "'time' holds NaN"),
        (broken(), {"is_sorted": True}, "'is_sorted' is set"),
        (broken(), {"temporal_strategy": "first"}, "'temporal_strategy'"),
        (broken(), {"sample_direction": "up"}, "'sample_direction'"),
        (broken(), {"subgraph_type": "whole"}, "'whole' is not a valid SubgraphType"),
    ],
)
def test_what_is_wrong_is_refused_by_name(data, options, words):
    with pytest.raises(ValueError, match=words):
        NeighborSampler(data, **{"num_neighbors": [2], **options})


def test_contradictions_and_wrong_seeds_are_refused():
    data = broken(time=torch.zeros(60), w=torch.ones(400))
    with pytest.raises(ValueError, match="give one of both"):
        NeighborSampler(
            data, [1], "directional", time_attr="time", weight_attr="w", temporal_strategy="last"
        )
    with pytest.raises(ValueError, match="backward"):
        NeighborSampler(data, [1], time_attr="time", sample_direction="backward")
    sampler = NeighborSampler(data, [1])
    for seeds, words in (
        (torch.tensor([60]), "from 60 to 60"),
        (torch.tensor([-1]), "from -1"),
        (torch.tensor([0.5]), "int64"),
    ):
        with pytest.raises(ValueError, match=words):
            sampler.sample_from_nodes(NodeSamplerInput(None, seeds))
    with pytest.raises(ValueError, match="type of the seeds"):
        sampler.sample_from_nodes(NodeSamplerInput(None, torch.tensor([0]), None, "paper"))
    with pytest.raises(ValueError, match="no such nodes"):
        NeighborSampler(hetero(), [1]).sample_from_nodes(
            NodeSamplerInput(None, torch.tensor([0]), None, "venue")
        )
    with pytest.warns(UserWarning, match="'directed' is deprecated"):
        NeighborSampler(data, [1], directed=False)


def test_sorted_edges_are_taken_as_they_stand():
    data = graph()
    order = torch.argsort(data.edge_index[1], stable=True)
    data.edge_index, data.edge_attr = data.edge_index[:, order], data.edge_attr[order]
    sampler = NeighborSampler(data, [2], is_sorted=True)
    assert sampler.edge_permutation is None
    batch = next(iter(NodeLoader(data, sampler, batch_size=60)))
    assert torch.equal(batch.n_id[batch.edge_index], data.edge_index[:, batch.e_id])
    data.time = torch.randperm(60)
    with pytest.raises(ValueError, match="sorted by time within each neighbourhood"):
        NeighborSampler(data, [2], is_sorted=True, time_attr="time")
    data.edge_time = data.edge_index[0]
    with pytest.raises(ValueError, match="sorted by time within each neighbourhood"):
        NeighborSampler(data, [2], is_sorted=True, time_attr="edge_time")
    # Sources ascend in each neighbourhood, and so do times of nodes and of edges, if not all.
    order = torch.argsort(60 * data.edge_index[1] + data.edge_index[0])
    data.edge_index = data.edge_index[:, order]
    data.time, data.edge_time = torch.arange(60) // 2, data.edge_index[0] // 2
    for name in ("time", "edge_time"):
        sampler = NeighborSampler(data, [2], is_sorted=True, time_attr=name)
        assert sampler.edge_permutation is None


def test_empty_graphs_and_no_seeds():
    data = Data(x=torch.randn(3, 2), edge_index=torch.empty(2, 0, dtype=torch.long))
    for options in ({}, {"replace": True}, {"subgraph_type": "induced"}, {"disjoint": True}):
        out = NeighborSampler(data, [2, 2], **options).sample_from_nodes(
            NodeSamplerInput(None, torch.tensor([2, 2]))
        )
        assert out.node.tolist() == [2, 2]
        assert out.row.numel() == out.edge.numel() == 0
    none = NodeSamplerInput(None, torch.empty(0, dtype=torch.long))
    assert NeighborSampler(graph(), [2, 2]).sample_from_nodes(none).node.numel() == 0
