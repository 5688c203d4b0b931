import math

import pytest
import torch
import torch.nn.functional as F
from torch_geometric.nn import GATConv
from torch_geometric.utils import softmax

from graphkit.nn import SPAGAN
from graphkit.nn.models.spagan import attention_costs
from graphkit.ops import shortest_paths


def graph(num_nodes=30, num_edges=120):
    edge_index = torch.randint(num_nodes, (2, num_edges))
    return torch.randn(num_nodes, 6), torch.cat([edge_index, edge_index.flip(0)], dim=1)


def test_costs_are_the_published_min_max_of_negated_attention():
    edge_index = torch.tensor([[0, 1, 2, 2], [1, 0, 1, 2]])
    alpha = torch.rand(4, 3)
    dense = torch.zeros(3, 3, dtype=torch.float64)
    dense[edge_index[1], edge_index[0]] = -alpha.double().mean(1)
    dense.fill_diagonal_(0.0)
    scaled = (dense - dense.min()) / (dense.max() - dense.min())
    wanted = scaled[edge_index[1], edge_index[0]]
    wanted[3] = 0.0
    torch.testing.assert_close(attention_costs(edge_index, alpha), wanted)
    empty = attention_costs(edge_index[:, :0], alpha[:0])
    assert empty.shape == (0,)


@pytest.mark.parametrize("source", ["gat", "self"])
def test_paths_of_a_round_are_the_cheapest_by_the_first_layers_attention(source):
    x, edge_index = graph()
    model = SPAGAN(6, 4, 3, heads=2, source=source).train()
    model.next_round(x, edge_index)
    assert model.training
    first = (model.gat or model.convs)[0]
    h = first.lin(x).view(-1, 2, 4)
    att = first.att[0]
    source_score, centre_score = (h * att[:, :4]).sum(-1), (h * att[:, 4:]).sum(-1)
    keep = edge_index[0] != edge_index[1]
    loops = torch.arange(30).expand(2, -1)
    edges = torch.cat([edge_index[:, keep], loops], dim=1)
    score = F.leaky_relu(source_score[edges[0]] + centre_score[edges[1]], 0.2)
    alpha = softmax(score, edges[1], num_nodes=30).mean(1)
    cost = (1 - alpha / alpha[edges[0] != edges[1]].max()).clamp(min=0)
    wanted = shortest_paths(edges.flip(0), cost.detach(), num_nodes=30)[3]
    assert {tuple(p) for p in model.paths[3].tolist()} == {tuple(p) for p in wanted.tolist()}


def test_a_first_stage_is_a_graph_attention_network():
    x, edge_index = graph()
    model = SPAGAN(6, 4, 3, heads=2).eval()
    first, last = GATConv(6, 4, 2), GATConv(8, 3, concat=False)
    with torch.no_grad():
        for conv, gat in zip(model.gat, (first, last), strict=True):
            gat.lin.weight.copy_(conv.lin.weight)
            gat.att_src.copy_(conv.att[..., : conv.out_channels])
            gat.att_dst.copy_(conv.att[..., conv.out_channels :])
    wanted = last(F.elu(first(x, edge_index)), edge_index)
    torch.testing.assert_close(model(x, edge_index), wanted, atol=1e-6, rtol=1e-5)
    alone = SPAGAN(6, 4, 3, heads=2, lengths=(2,)).eval()
    alone.convs.load_state_dict(model.gat.state_dict())
    torch.testing.assert_close(alone(x, edge_index), wanted, atol=1e-6, rtol=1e-5)


def test_paths_given_by_hand_come_before_those_of_the_round():
    x, edge_index = graph()
    model = SPAGAN(6, 4, 3, lengths=(2, 3, 4)).eval()
    model.next_round(x, edge_index)
    mine = shortest_paths(edge_index.flip(0), max_nodes=4, ratio=0.1, num_nodes=30)
    given = model(x, edge_index, mine)
    assert not torch.allclose(given, model(x, edge_index))
    model.paths = mine
    assert sorted(model.paths) == [3, 4]
    torch.testing.assert_close(model(x, edge_index), given)


def test_renaming_nodes_renames_rows_and_keeps_the_paths():
    x, edge_index = graph()
    order = torch.randperm(30)
    place = torch.empty_like(order)
    place[order] = torch.arange(30)
    models = [SPAGAN(6, 4, 3, heads=2).double().eval() for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    inputs = [(x.double(), edge_index), (x.double()[order], place[edge_index])]
    for model, given in zip(models, inputs, strict=True):
        model.next_round(*given)
    paths = [{tuple(p) for p in rows} for rows in (place[models[0].paths[3]].tolist(),)]
    assert paths[0] == {tuple(p) for p in models[1].paths[3].tolist()}
    torch.testing.assert_close(models[1](*inputs[1]), models[0](*inputs[0])[order])


def test_costs_for_comparison():
    x, edge_index = graph()
    rounds = {}
    for costs in ("attention", "uniform", "random"):
        model = SPAGAN(6, 4, 3, costs=costs)
        model.next_round(x, edge_index)
        rounds[costs] = model.paths[3]
    unweighted = shortest_paths(edge_index.flip(0), num_nodes=30)[3]
    assert torch.equal(rounds["uniform"], unweighted)
    assert len({tuple(map(tuple, paths.tolist())) for paths in rounds.values()}) == 3


def test_variants_differ_in_pooling_and_the_last_elu():
    x, edge_index = graph()
    paper, released = (SPAGAN(6, 4, 3, variant=v).eval() for v in ("paper", "released"))
    assert [model.convs[0].pool for model in (paper, released)] == ["mean", "max"]
    released.load_state_dict(paper.state_dict())
    torch.testing.assert_close(released(x, edge_index), F.elu(paper(x, edge_index)))


def test_weights_are_saved_and_paths_forgotten_on_reset():
    x, edge_index = graph()
    model = SPAGAN(6, 4, 3)
    model.next_round(x, edge_index)
    assert not any("paths" in name for name in model.state_dict())
    before = model.convs[0].lin.weight.clone()
    model.reset_parameters()
    assert model.paths == {}
    assert not torch.equal(model.convs[0].lin.weight, before)


def test_every_parameter_of_the_stage_in_use_gets_a_gradient():
    x, edge_index = graph()
    model = SPAGAN(6, 4, 3)
    model(x, edge_index).sum().backward()
    assert all(p.grad is not None for p in model.gat.parameters())
    assert all(p.grad is None for p in model.convs.parameters())
    model.next_round(x, edge_index)
    model.zero_grad()
    model(x, edge_index).sum().backward()
    assert all(p.grad is None for p in model.gat.parameters())
    assert all(p.grad is not None for p in model.convs.parameters())


@pytest.mark.parametrize("option", ["source", "costs", "pool", "variant", "init"])
def test_unknown_options_are_refused(option):
    with pytest.raises(ValueError, match=f"'{option}'"):
        SPAGAN(6, 4, 3, **{option: "other"})


def test_ratio_bounds_the_paths_per_node():
    x, edge_index = graph()
    model = SPAGAN(6, 4, 3, ratio=0.25)
    model.next_round(x, edge_index)
    near = torch.zeros(30, 30)
    near[edge_index[1], edge_index[0]] = 1
    degree = near.fill_diagonal_(0).sum(1)
    count = torch.bincount(model.paths[3][:, 0], minlength=30)
    assert (count <= (0.25 * degree).floor()).all()
    model.ratio = math.inf
    model.next_round(x, edge_index)
    assert model.paths[3].size(0) > count.sum()
