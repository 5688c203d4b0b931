"""Similarities of attribution graphs, ranking of models and layers, the published layer table."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import nn

from graphkit.transfer import (
    AttributionGraph,
    combine,
    depara_similarity,
    edge_similarity,
    node_similarity,
    rank_layers,
    rank_models,
)
from graphkit.transfer.model_cosines import edge_vector, node_cosines, ranks


def graph(seed: int = 0, probes: int = 12) -> AttributionGraph:
    generator = torch.Generator().manual_seed(seed)
    return AttributionGraph(
        x=torch.randn(probes, 20, generator=generator),
        feature=torch.randn(probes, 5, generator=generator),
    )


def test_identities() -> None:
    a, b = graph(0), graph(1)
    assert node_similarity(a, a) == pytest.approx(1, abs=1e-6)
    assert edge_similarity(a, a) == pytest.approx(1, abs=1e-6)
    assert node_similarity(a, b) == pytest.approx(node_similarity(b, a), abs=1e-6)
    assert edge_similarity(a, b) == pytest.approx(edge_similarity(b, a), abs=1e-6)
    rotation = torch.linalg.qr(torch.randn(5, 5)).Q
    moved = AttributionGraph(x=7.5 * a.x, feature=3 * a.feature @ rotation)
    assert node_similarity(a, moved) == pytest.approx(1, abs=1e-6)
    assert edge_similarity(a, moved) == pytest.approx(1, abs=1e-4)
    mixed = torch.randperm(12)
    shuffled = [AttributionGraph(x=g.x[mixed], feature=g.feature[mixed]) for g in (a, b)]
    assert depara_similarity(*shuffled) == pytest.approx(depara_similarity(a, b), abs=1e-5)


def test_nodes_are_compared_probe_by_probe() -> None:
    a, b = graph(0), graph(1)
    loop = sum(torch.cosine_similarity(p, q, dim=0) for p, q in zip(a.x, b.x, strict=True)) / 12
    assert node_similarity(a, b) == pytest.approx(float(loop), abs=1e-6)


def test_edges_are_scipys_spearman_with_ties() -> None:
    first, second = (torch.randint(0, 4, (300,)).double() for _ in range(2))
    expected = stats.spearmanr(first, second).statistic
    assert float(ranks(first).double() @ ranks(second).double()) == pytest.approx(
        expected, abs=1e-6
    )
    a, b = graph(0), graph(1)
    b.feature = b.feature.round()
    vectors = [edge_vector(g.feature, centre=False) for g in (a, b)]
    expected = stats.spearmanr(*vectors).statistic
    assert edge_similarity(a, b) == pytest.approx(expected, abs=1e-6)
    constant = AttributionGraph(x=a.x, feature=torch.ones(12, 3))
    assert edge_similarity(a, constant) == 0


@pytest.mark.parametrize("chunk_floats", [1, 130, 1 << 20])
def test_streaming_is_the_loop(chunk_floats: int) -> None:
    maps = [torch.randn(9, 4, 5) for _ in range(4)]
    cosines, zero = node_cosines(maps[:3], maps[3:], chunk_floats=chunk_floats)
    assert cosines.shape == (9, 3, 4)
    assert not zero.any()
    for k in range(9):
        for m in range(3):
            for n in range(4):
                flat = maps[m][k].flatten(), maps[n][k].flatten()
                torch.testing.assert_close(
                    cosines[k, m, n], torch.cosine_similarity(*flat, dim=0), atol=1e-5, rtol=0
                )


def test_dead_models_have_similarity_zero_and_are_named() -> None:
    a, dead = graph(0), graph(1)
    dead.x[3:] = 0
    with pytest.warns(UserWarning, match=r"zero everywhere .*'b': 9"):
        found = node_similarity(a, dead)
    assert found == pytest.approx(float(torch.cosine_similarity(a.x[:3], dead.x[:3]).sum()) / 12)
    dead.x[0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"maps of models \[1\] are not finite"):
        node_similarity(a, dead)


def test_one_value_that_is_not_finite_is_enough() -> None:
    features = torch.rand(4, 3)
    features[2, 1] = torch.inf
    with pytest.raises(ValueError, match="'features' holds values that are not finite"):
        edge_vector(features)


def test_graphs_over_other_probes_are_refused() -> None:
    with pytest.raises(ValueError, match="the same probes, got 12 and 5"):
        depara_similarity(graph(), graph(probes=5))
    with pytest.raises(ValueError, match="at least three rows, got 2"):
        edge_similarity(graph(probes=2), graph(probes=2))


def test_the_target_is_left_out_by_identity() -> None:
    """A twin of the target stays, and a negative weight does not bring the target back."""
    target, twin = graph(0), graph(0)
    for weight in (0.25, -3.0):
        names = [
            row.name
            for row in rank_models(target, {"a": graph(1), "self": target, "twin": twin}, weight)
        ]
        assert sorted(names) == ["a", "twin"]
    assert names == ["a", "twin"]
    with pytest.raises(ValueError, match="no candidate"):
        rank_models(target, {"self": target})


def test_combinations_without_weight() -> None:
    node = torch.tensor([0.1, 0.5, 0.5, torch.nan], dtype=torch.double)
    edge = torch.tensor([3.0, 1.0, 2.0, torch.nan], dtype=torch.double)
    assert combine(node, edge, how="ranks")[:3].tolist() == [4.0, 3.5, 4.5]
    expected = [sum(z) for z in zip(stats.zscore(node[:3]), stats.zscore(edge[:3]), strict=True)]
    torch.testing.assert_close(combine(node, edge, how="zscores")[:3], torch.tensor(expected))
    assert combine(node, edge, how="ranks").isnan()[3]
    with pytest.raises(ValueError, match="'how' must be one of"):
        combine(node, edge, how="max")


def numbers(text: str) -> list[float]:
    return [float(word) for word in text.split()]


LAYERS = numbers("1 3 5 7 8 9 10 11 12 13 14 15 16 17 18")
IMAGENET = {
    "V": numbers(".45 .45 .48 .52 .54 .55 .55 .55 .55 .54 .54 .54 .54 .53 .52"),
    "E": numbers(".16 .01 .20 .03 .07 .35 .32 .14 .15 .50 .43 .77 .78 .81 .81"),
    "0.1": numbers(
        "60.74 63.78 69.23 69.77 70.63 73.36 74.89 76.86 77.11 79.50 76.89 81.15 80.81 80.71 79.21"
    ),
    "0.01": numbers(
        "34.03 37.71 40.16 44.67 49.58 53.06 58.11 59.35 63.08 67.24 68.50 71.72 72.85 74.33 73.54"
    ),
}
SYNTHETIC = {
    "V": numbers(".60 .60 .55 .53 .51 .50 .50 .50 .49 .48 .48 .48 .47 .46 .45"),
    "E": numbers(".06 .11 .15 .17 .17 .18 .18 .19 .19 .20 .17 .15 .11 .10 .09"),
    "0.1": numbers(
        "49.84 61.92 62.72 62.28 61.15 59.81 60.24 58.49 54.03 54.21 52.67 52.15 48.54 41.50 36.10"
    ),
    "0.01": numbers(
        "30.58 35.49 37.20 39.47 38.09 39.64 39.63 40.07 40.11 40.37 39.04 36.88 34.13 31.40 29.13"
    ),
}


@pytest.mark.parametrize(
    ("table", "weight", "layer", "data", "regret"),
    [
        (IMAGENET, 1.0, 17, "0.1", 0.44),
        (IMAGENET, 1.0, 17, "0.01", 0.0),
        (SYNTHETIC, 1.0, 3, "0.1", 0.80),
        (SYNTHETIC, 10.0, 13, "0.01", 0.0),
    ],
)
def test_the_published_layer_table(
    table: dict, weight: float, layer: int, data: str, regret: float
) -> None:
    score = combine(torch.tensor(table["V"]), torch.tensor(table["E"]), weight)
    best = int(score.argmax())
    assert LAYERS[best] == layer
    assert max(table[data]) - table[data][best] == pytest.approx(regret, abs=1e-9)


def test_layers_are_ranked_each_for_itself() -> None:
    source = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU())
    target = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 6))
    target[0].load_state_dict(source[0].state_dict())
    x = torch.rand(10, 1, 8, 8)
    rows = rank_layers(source, ["0", "1", "3"], target, "1", x)
    assert rows[0].name == "1"
    assert rows[0].node == pytest.approx(1, abs=1e-6)
    assert rows[0].edge == pytest.approx(1, abs=1e-6)
    (alone,) = rank_layers(source, ["3"], target, "1", x)
    assert alone == next(row for row in rows if row.name == "3")


def test_models_in_place_of_graphs_are_named_with_what_to_write() -> None:
    """``'Linear' object has no attribute 'x'``."""
    model = torch.nn.Linear(2, 2)
    graph = AttributionGraph(x=torch.randn(4, 9), feature=torch.randn(4, 3))
    build = r"write AttributionGraph.build\(model, probes\)"
    with pytest.raises(TypeError, match=f"'target' must be.*got Linear; {build}"):
        rank_models(model, {"a": graph})
    with pytest.raises(TypeError, match=r"sources\['a'\].*got Linear"):
        rank_models(graph, {"a": model})
    with pytest.raises(TypeError, match=r"'sources' must be a dict.*got list; write \{'name'"):
        rank_models(graph, [graph])
    for similarity in (node_similarity, edge_similarity, depara_similarity):
        with pytest.raises(TypeError, match="'b' must be an AttributionGraph"):
            similarity(graph, model)
        with pytest.raises(TypeError, match="'a' must be an AttributionGraph"):
            similarity(model, graph)
    with pytest.raises(TypeError, match=r"'layers' is one name; write \['2'\]"):
        rank_layers(model, "2", model, None, torch.randn(4, 2))


def test_nodes_and_edges_count_alike_unless_a_weight_is_given() -> None:
    """Edges say "b", nodes by a little "a": by the paper's weight the nodes win."""
    feature, maps = torch.randn(8, 3), torch.randn(8, 6)
    target = AttributionGraph(x=maps, feature=feature)
    sources = {
        "a": AttributionGraph(x=maps + 0.2 * torch.randn(8, 6), feature=torch.randn(8, 3)),
        "b": AttributionGraph(x=maps + 0.8 * torch.randn(8, 6), feature=feature),
        "c": AttributionGraph(x=torch.randn(8, 6), feature=torch.randn(8, 3)),
    }
    alike, weighed = rank_models(target, sources), rank_models(target, sources, weight=0.0)
    assert alike[0].name == "b"
    assert weighed[0].name == "a"
    assert [row.score for row in weighed] == [row.node for row in weighed]
    zscores = rank_models(target, sources, how="zscores")
    assert [row.score for row in alike] == [row.score for row in zscores]
    assert float(sum(row.score for row in alike)) == pytest.approx(0.0, abs=1e-5)
