"""Edge scores of layers with and without attention, against dense recomputation."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch_geometric.nn import GCN, GATConv, GCNConv, MessagePassing, TransformerConv

from graphkit.continual import structure
from graphkit.testing import assert_no_trace, count_hooks
from tests.continual.problems import backbone, graph


def dense_energy(score: torch.Tensor, target: torch.Tensor, num_nodes: int) -> torch.Tensor:
    rows = [score[target == i].square().sum() for i in range(num_nodes)]
    return torch.stack(rows).square().sum()


def test_attention_layers_give_their_own_weights() -> None:
    data, model = graph(), backbone("GAT", heads=2).eval()
    with structure(model) as found:
        model(data.x, data.edge_index)
    first = found.scores()[0]
    _, (edges, alpha) = model.convs[0](data.x, data.edge_index, return_attention_weights=True)
    assert torch.equal(first.score, alpha)
    assert torch.equal(first.target, edges[1])
    expected = dense_energy(alpha, edges[1], data.num_nodes)
    torch.testing.assert_close(first.energy(), expected)


def test_gcn_gives_the_papers_form_on_transformed_features() -> None:
    data, model = graph(), backbone("GCN").eval()
    with structure(model, ["convs.0"]) as found:
        model(data.x, data.edge_index)
    (scores,) = found.scores()
    h = data.x @ model.convs[0].lin.weight.t()
    adjacency = torch.zeros(12, 12, dtype=torch.bool)
    adjacency[data.edge_index[0], data.edge_index[1]] = True
    adjacency.fill_diagonal_(True)
    dense = torch.where(adjacency, h.tanh() @ h.t(), 0.0)
    torch.testing.assert_close(scores.energy(), dense.square().sum(0).square().sum())


@pytest.mark.parametrize("name", ["GIN", "GraphSAGE"])
def test_layers_that_transform_after_the_sum_give_their_output(name: str) -> None:
    data, model = graph(), backbone(name).eval()
    with structure(model, ["convs.0"]) as found:
        model(data.x, data.edge_index)
    (scores,) = found.scores()
    h = model.convs[0](data.x, data.edge_index)
    source, target = data.edge_index
    expected = (h[target] * h[source].tanh()).sum(1, keepdim=True)
    torch.testing.assert_close(scores.score, expected)


def test_other_attention_layers_and_softmax_form() -> None:
    data = graph()
    conv = TransformerConv(5, 3, heads=2).double().eval()
    with structure(conv) as found:
        conv(data.x, data.edge_index)
    sums = torch.zeros(12, 2, dtype=torch.float64)
    sums.index_add_(0, found.scores()[0].target, found.scores()[0].score)
    reached = torch.zeros(12, dtype=torch.bool)
    reached[data.edge_index[1]] = True
    torch.testing.assert_close(sums[reached], torch.ones_like(sums[reached]))
    model = backbone("GCN").eval()
    with structure(model) as found:
        model(data.x, data.edge_index)
    normal = found.scores(softmax=True)[0]
    sums = torch.zeros(12, 1, dtype=torch.float64).index_add_(0, normal.target, normal.score)
    torch.testing.assert_close(sums, torch.ones_like(sums))


def test_renumbering_nodes_changes_nothing_and_scaling_features_does() -> None:
    data, model = graph(), backbone("GCN").eval()
    order = torch.randperm(12)
    place = order.argsort()

    def energy(x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        with structure(model) as found:
            model(x, edge_index)
        return torch.stack([scores.energy() for scores in found.scores()]).sum()

    plain = energy(data.x, data.edge_index)
    torch.testing.assert_close(energy(data.x[order], place[data.edge_index]), plain)
    assert not torch.allclose(energy(2 * data.x, data.edge_index), plain)


def test_no_hook_is_left_behind_even_after_an_error() -> None:
    data, model = graph(), backbone("GCN")
    with assert_no_trace(model), structure(model):
        model(data.x, data.edge_index)
    with pytest.raises(RuntimeError), structure(model):
        model(data.x[:, :2], data.edge_index)
    assert count_hooks(model) == 0


def test_errors_say_what_to_do() -> None:
    linear = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="topology_weight=0"), structure(linear):
        linear(torch.ones(1, 2))
    model = GCN(2, 2, num_layers=1)
    with pytest.raises(ValueError, match="not a MessagePassing"), structure(model, ["act"]):
        model(torch.ones(1, 2), torch.zeros(2, 0, dtype=torch.long))
    with structure(model) as found, pytest.raises(ValueError, match="did not run"):
        found.scores()


def test_one_attention_head_per_edge_is_a_column() -> None:
    data, conv = graph(), GATConv(5, 3).double().eval()
    with structure(conv) as found:
        conv(data.x, data.edge_index)
    assert found.scores()[0].score.dim() == 2


class Twice(nn.Module):
    """One layer that runs twice."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        return self.conv(self.conv(x, edge_index).tanh(), edge_index)


class Chain(nn.Module):
    """Two layers, one after the other."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x, edge_index).tanh(), edge_index)


@pytest.mark.parametrize("kind", [GATConv, GCNConv])
def test_a_layer_that_runs_twice_counts_twice(kind: type[nn.Module]) -> None:
    data, conv = graph(), kind(5, 5).double().eval()
    energies = []
    for model in (Twice(conv), Chain(conv, copy.deepcopy(conv))):
        with structure(model) as layers:
            model(data.x, data.edge_index)
        assert len(layers.scores()) == 2
        energies.append([scores.energy() for scores in layers.scores()])
    torch.testing.assert_close(energies[0], energies[1])


def test_a_model_that_runs_twice_counts_twice() -> None:
    data, model = graph(), backbone("GCN").eval()
    with structure(model) as layers:
        model(data.x, data.edge_index)
    once = [scores.energy() for scores in layers.scores()]
    with structure(model) as layers:
        model(data.x, data.edge_index)
        model(2 * data.x, data.edge_index)
    both = [scores.energy() for scores in layers.scores()]
    assert len(both) == 4
    torch.testing.assert_close(both[0::2], once)


def test_layers_may_run_without_their_model() -> None:
    data, model = graph(), backbone("GCN").eval()
    with structure(model, ["convs.0"]) as layers:
        model.convs[0](data.x, data.edge_index)
        model.convs[0](data.x, data.edge_index)
    first, second = layers.scores()
    assert torch.equal(first.score, second.score)


def test_a_run_that_failed_leaves_nothing_behind() -> None:
    data, model = graph(), backbone("GCN").eval()
    with structure(model, ["convs.1"]) as layers:
        with pytest.raises(RuntimeError):
            model(data.x[:, :2], data.edge_index)
        model(data.x, data.edge_index)
    assert len(layers.scores()) == 1


class Silent(MessagePassing):
    """Sends nothing along its edges."""

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        return x


def test_a_layer_that_sends_nothing_is_named() -> None:
    data, model = graph(), Twice(Silent())
    with structure(model) as layers:
        model(data.x, data.edge_index)
    with pytest.raises(ValueError, match="'conv' sent nothing"):
        layers.scores()
