"""What edges add: questions of adapters' graphs, and graphs beside a network without edges."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch_geometric.data import Data, HeteroData

import graphkit.adapters
from benchmarks.harness import recipe as recipes
from benchmarks.harness.fitting import Fitter
from benchmarks.problems.adapter_graphs import SOURCES, WITHOUT, question
from benchmarks.protocols import adapter_edges, fair_graphs
from benchmarks.report.paired import adapter_edges as table
from benchmarks.report.paired import interval
from benchmarks.rivals.summed import CONVS, SummedGNN
from graphkit.adapters import GraphAdapter

TRAIN: dict[str, Any] = {"epochs": 30, "lr": 0.02}


def test_every_adapter_has_a_question_or_the_reason_why_not() -> None:
    public = {name: getattr(graphkit.adapters, name) for name in graphkit.adapters.__all__}
    names = {
        name
        for name, each in public.items()
        if isinstance(each, type) and issubclass(each, GraphAdapter) and each is not GraphAdapter
    }
    assert {*SOURCES, *WITHOUT} == names
    assert not {*SOURCES} & {*WITHOUT}
    members = recipes.members("adapter-edges")
    asked = [recipes.load(name).sections["adapter"]["name"] for name in members]
    assert sorted(asked) == sorted(SOURCES)


def ring(count: int, seed: int) -> Data:
    """Nodes whose class is that of the node before them, which only the edge tells."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(2, (count, 1), generator=generator).float()
    place = torch.arange(count)
    edges = torch.stack([place, (place + 1) % count])
    return Data(x=x, edge_index=edges, edge_type=torch.zeros(count).long(), y=x.roll(1, 0)[:, 0])


def test_only_edges_in_their_direction_tell_what_only_they_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def source(seed: int) -> question.Question:
        return question.ask(ring(400, seed), "accuracy", seed, train=0.4)

    monkeypatch.setitem(adapter_edges.SOURCES, "Ring", source)
    fit = Fitter(TRAIN, 3)
    found = adapter_edges.run({"name": "Ring"}, seed=3, fit=fit, hidden=8, dropout=0.0)
    assert found["graph"] == 1
    assert max(found["alone"], found["shuffled"]) < 0.65
    assert found["gain"] == found["graph"] - found["alone"]
    assert (found["nodes"], found["edges"], found["asked"]) == (400, 800, 400)


def test_without_edges_the_network_is_an_mlp() -> None:
    torch.manual_seed(0)
    net = adapter_edges.Layers(3, 8, 2, 4, 2, 0.0)
    x, none = torch.rand(5, 3), torch.empty(2, 0, dtype=torch.long)
    out = net(x, none, none[0], torch.arange(5), "node")
    h = x
    for conv in net.convs:
        h = (h @ conv.root + conv.bias).relu()
    torch.testing.assert_close(out, net.out(h))


def test_shuffled_edges_keep_kinds_and_targets() -> None:
    asked = question.ask(ring(50, 0), "accuracy", 0)
    edges, kind = adapter_edges.linked(asked, "shuffled", 1)
    assert torch.equal(kind, asked.edge_type)
    assert torch.equal(edges[0], asked.edge_index[0])
    for number in kind.unique():
        ours, theirs = (each[1, kind == number] for each in (edges, asked.edge_index))
        assert torch.equal(ours.sort().values, theirs.sort().values)
        assert not torch.equal(ours, theirs)


def test_directed_kinds_get_reverses_of_their_own_and_undirected_ones_do_not() -> None:
    edges = torch.tensor([[0, 1, 2, 2, 1], [1, 0, 0, 2, 2]])
    both, kind = question.both_ways(edges, torch.tensor([0, 0, 1, 1, 1]))
    rows = sorted(zip(kind.tolist(), both.t().tolist(), strict=True))
    assert rows == [
        *((0, pair) for pair in ([0, 1], [1, 0])),
        *((1, pair) for pair in ([1, 2], [2, 0])),
        *((2, pair) for pair in ([0, 2], [2, 1])),
    ]


def test_things_that_belong_together_are_on_one_side() -> None:
    graph = ring(60, 0)
    graph.unit = torch.arange(60) // 3
    asked = question.ask(graph, "accuracy", 5, train=0.5, val=0.2)
    assert all(len(part.unique()) == 1 for part in asked.part.view(20, 3))
    assert asked.part.bincount().tolist() == [30, 12, 18]


def test_kinds_of_nodes_stand_side_by_side() -> None:
    graph = HeteroData()
    graph["a"].x, graph["b"].x = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [4.0]])
    graph["a", "to", "b"].edge_index = torch.tensor([[0, 0], [0, 1]])
    graph["b", "tells", "a"].edge_index = torch.tensor([[1], [0]])
    flat = question.flat(graph, {"b": torch.tensor([5, 6])}, ("tells",))
    assert flat.x.tolist() == [[1, 2, 1, 0, 0], [0, 0, 0, 3, 1], [0, 0, 0, 4, 1]]
    assert flat.edge_index.tolist() == [[0, 0], [1, 2]]
    assert flat.y.isnan().tolist() == [True, False, False]
    assert flat.y[1:].tolist() == [5, 6]


def test_of_a_nodes_edges_the_heaviest_stay() -> None:
    edges = torch.tensor([[1, 0, 0, 0, 1], [0, 1, 2, 3, 2]])
    kept = question.nearest(edges, torch.tensor([0.1, 0.5, 0.9, 0.7, 0.2]), 2)
    assert sorted(map(tuple, kept.t().tolist())) == [(0, 2), (0, 3), (1, 0), (1, 2)]


@pytest.mark.parametrize("name", ["ImpressionGraphAdapter", "StyledPixelAdapter"])
def test_questions_hold_what_they_ask(name: str) -> None:
    torch.manual_seed(0)
    asked = SOURCES[name](0)
    assert asked.x.isfinite().all()
    assert asked.y.shape == asked.part.shape == asked.where.shape
    assert sorted(asked.part.unique().tolist()) == [0, 1, 2]
    assert all(len(asked.y[asked.part == part].unique()) > 1 for part in range(3))


def test_an_adapter_without_a_question_is_named() -> None:
    with pytest.raises(ValueError, match="LexiconGraphAdapter"):
        adapter_edges.run({"name": "LexiconGraphAdapter"}, seed=0, fit=Fitter(TRAIN, 0))


def test_a_network_without_edges_sees_none() -> None:
    torch.manual_seed(0)
    x, batch = torch.rand(6, 3), torch.tensor([0, 0, 0, 1, 1, 1])
    edges, none = torch.tensor([[0, 1, 3], [1, 2, 4]]), torch.empty(2, 0, dtype=torch.long)
    for conv in CONVS:
        net = SummedGNN(3, 8, 2, conv).eval()
        same = torch.equal(net(x, edges, batch), net(x, none, batch))
        assert same == (conv == "features")


def test_the_outer_fold_chooses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = torch.arange(40) % 2
    # Sums of features are the classes: every network finds them.
    graphs = [Data(x=torch.full((3, 2), float(y)), y=y.view(1)) for y in labels]
    for graph in graphs:
        graph.edge_index = torch.tensor([[0, 1], [1, 0]])
    order = torch.arange(40).numpy()
    folds = [(order[order % 10 != fold], order[order % 10 == fold]) for fold in range(10)]
    monkeypatch.setattr(fair_graphs, "load", lambda name: (graphs, folds))
    grid = {"hidden_channels": [4], "num_layers": [1, 2]}

    def run() -> dict[str, float]:
        return fair_graphs.run(
            {"name": "x"},
            grid,
            seed=3,
            fit=Fitter({**TRAIN, "epochs": 4}, 3),
            convs=("features", "gin"),
        )

    first = run()
    # Other labels in the outer fold: what was chosen stays, and only the figures turn.
    for graph in (graphs[i] for i in folds[3][1]):
        graph.y = 1 - graph.y
    second = run()
    for conv in ("features", "gin"):
        assert first[f"{conv}_setting"] == second[f"{conv}_setting"]
        assert first[f"{conv}_accuracy"] == pytest.approx(1 - second[f"{conv}_accuracy"])
    assert first["gain_gin"] == first["gin_accuracy"] - first["features_accuracy"]


def test_intervals_are_students_and_wider_where_folds_overlap() -> None:
    recipe = recipes.load("edges-orbits")
    gain = {"mean": 0.1, "std": 0.02}
    recipe.reproduced = {"metrics": {"gain": gain}, "seeds": 5}
    half = 2.776 * 2 / 5**0.5
    assert interval(recipe, "gain") == f"+10.0 ({10 - half:+.1f} … {10 + half:+.1f})"
    half = 2.776 * 2 * (1 / 5 + 1 / 9) ** 0.5
    assert interval(recipe, "gain", 1 / 9) == f"+10.0 ({10 - half:+.1f} … {10 + half:+.1f})"


def test_the_table_has_a_row_for_every_adapter() -> None:
    recipe = recipes.load("edges-orbits")
    metric = {"mean": 0.5, "std": 0.1}
    names = ("alone", "graph", "gain", "gain_shuffled")
    recipe.reproduced = {"metrics": dict.fromkeys(names, metric), "seeds": 5}
    rows = table([recipe]).splitlines()[2:]
    assert len(rows) == len(SOURCES) + len(WITHOUT)
    assert "`OrbitGraphAdapter` | Digits turned" in rows[0]
    assert len({row.count("|") for row in rows}) == 1
