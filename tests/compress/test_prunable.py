"""What is cut of one layer, place by place."""

import pytest
import torch
from torch import nn
from torch_geometric.nn import GATConv, GCNConv
from torch_geometric.nn.dense import Linear

from graphkit.compress.prunable import (
    Attention,
    Plain,
    cut_follower,
    follows,
    note_width,
    replace,
    rule_of,
)

OUT, INTO = torch.tensor([0, 2]), torch.tensor([1, 3, 4])


@pytest.mark.parametrize(
    ("layer", "at"),
    [
        (nn.Linear(2, 3), -1),
        (Linear(2, 3), -1),
        (nn.Conv1d(2, 4, 1), 1),
        (nn.Conv2d(2, 4, 1), 1),
        (nn.Conv3d(2, 4, 1), 1),
        (nn.Conv2d(2, 4, 1, groups=2), None),
        (GATConv(2, 3), -1),
        (GATConv((2, 2), 3), None),
        (GCNConv(2, 3), None),
        (nn.BatchNorm1d(3), None),
    ],
)
def test_layers_whose_channels_can_be_chosen(layer, at):
    rule = rule_of(layer)
    assert (None if rule is None else rule.at) == at
    assert isinstance(rule, Attention) == (at is not None and isinstance(layer, GATConv))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("make", [nn.Linear, lambda *a, **k: nn.Conv1d(*a, 2, **k)])
def test_a_plain_layer_keeps_rows_and_columns(make, bias):
    layer = make(5, 3, bias=bias)
    rule = rule_of(layer)
    weight, old = layer.weight.detach().clone(), layer.bias
    assert (rule.width(layer), rule.channels(layer).tolist()) == (3, [0, 1, 2])
    kernels = rule.kernels(layer)
    assert kernels.shape == (3, 5, weight[0, 0].numel())
    assert torch.equal(kernels.flatten(), weight.flatten())
    layer.weight.requires_grad_(False)
    rule.cut(layer, OUT, INTO)
    assert torch.equal(layer.weight, weight[OUT][:, INTO])
    assert not layer.weight.requires_grad
    assert (layer.bias is None) if old is None else torch.equal(layer.bias, old[OUT])
    assert old is None or layer.bias.requires_grad
    names = ("out_channels", "in_channels")
    names = ("out_features", "in_features") if isinstance(layer, nn.Linear) else names
    assert [getattr(layer, name) for name in names] == [2, 3]
    assert isinstance(layer.weight, nn.Parameter)
    assert layer.weight.grad_fn is None


def test_planes_of_a_convolution_are_one_kernel():
    layer = nn.Conv2d(2, 3, (2, 3))
    kernels = Plain(1).kernels(layer)
    assert torch.equal(kernels, layer.weight.reshape(3, 2, 6))


@pytest.mark.parametrize("concat", [True, False])
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("edge_dim", [None, 2])
def test_attention_loses_a_channel_in_every_head(concat, residual, edge_dim):
    layer = GATConv(5, 3, heads=2, concat=concat, residual=residual, edge_dim=edge_dim)
    nn.init.uniform_(layer.bias)
    rule = rule_of(layer)
    before = {name: value.detach().clone() for name, value in layer.named_parameters()}
    assert rule.width(layer) == 3
    assert rule.channels(layer).tolist() == ([0, 1, 2, 0, 1, 2] if concat else [0, 1, 2])
    kernels = rule.kernels(layer)
    assert kernels.shape == (3, 5, 2)
    assert torch.equal(kernels[1, 4], before["lin.weight"][[1, 4], 4])
    rule.cut(layer, OUT, INTO)
    rows = torch.tensor([0, 2, 3, 5])
    after = rows if concat else OUT
    wanted = {
        "lin.weight": before["lin.weight"][rows][:, INTO],
        "bias": before["bias"][after],
        "att_src": before["att_src"][:, :, OUT],
        "att_dst": before["att_dst"][:, :, OUT],
    }
    if residual:
        wanted["res.weight"] = before["res.weight"][after][:, INTO]
    if edge_dim:
        wanted["lin_edge.weight"] = before["lin_edge.weight"][rows]
        wanted["att_edge"] = before["att_edge"][:, :, OUT]
    found = dict(layer.named_parameters())
    assert set(found) == set(wanted)
    assert all(torch.equal(found[name], value) for name, value in wanted.items())
    assert (layer.out_channels, layer.in_channels) == (2, 3)
    assert (layer.lin.out_channels, layer.lin.in_channels) == (4, 3)
    if residual:
        assert (layer.res.out_channels, layer.res.in_channels) == (len(after), 3)
    if edge_dim:
        assert (layer.lin_edge.out_channels, layer.lin_edge.in_channels) == (4, 2)
    edge_attr = None if edge_dim is None else torch.rand(4, 2)
    out = layer(torch.rand(4, 3), torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]]), edge_attr)
    assert out.shape == (4, len(after))


def test_attention_without_a_bias_has_none_afterwards():
    layer = GATConv(5, 3, bias=False)
    rule_of(layer).cut(layer, OUT, INTO)
    assert layer.bias is None
    assert layer.att_edge is None


def test_what_follows_channels_has_an_entry_for_each():
    assert follows(nn.BatchNorm1d(4), 4) == ["weight", "bias", "running_mean", "running_var"]
    assert follows(nn.BatchNorm1d(4), 3) is None
    assert follows(nn.PReLU(), 4) == [], "one number for all of them is no channel's"
    assert follows(nn.PReLU(4), 4) == ["weight"]
    assert follows(nn.Conv2d(4, 4, 3, groups=4), 4) == ["weight", "bias"]
    assert follows(nn.Conv2d(4, 4, 3, groups=2), 4) is None
    assert follows(nn.Conv2d(4, 8, 3, groups=4), 4) is None
    assert follows(nn.Conv2d(4, 4, 3, groups=4), 2) is None
    assert follows(nn.LayerNorm((2, 2)), 2) is None


def test_followers_are_cut():
    keep = torch.tensor([0, 3])
    norm = nn.BatchNorm2d(4)
    norm.running_mean += torch.arange(4)
    names = follows(norm, 4)
    cut_follower(norm, names, keep)
    assert norm.running_mean.tolist() == [0, 3]
    assert norm.num_features == 2
    assert isinstance(norm.weight, nn.Parameter)
    assert not isinstance(norm.running_mean, nn.Parameter)
    depthwise = nn.Conv1d(4, 4, 3, groups=4)
    weight = depthwise.weight.detach().clone()
    cut_follower(depthwise, ["weight", "bias"], keep)
    assert torch.equal(depthwise.weight, weight[keep])
    assert (depthwise.groups, depthwise.in_channels, depthwise.out_channels) == (2, 2, 2)
    graph = GCNConv(5, 4)
    cut_follower(graph, ["bias"], keep)
    # What goes into it is another matter.
    assert (graph.out_channels, graph.in_channels, len(graph.bias)) == (2, 5, 2)


def test_replacing_by_nothing_leaves_what_is_there():
    layer = nn.Linear(2, 2)
    bias = layer.bias
    replace(layer, "bias", None)
    assert layer.bias is bias
    note_width(layer, 7, None)
    assert (layer.out_features, layer.in_features) == (7, 2)
    pair = GATConv((2, 3), 4)
    note_width(pair, 5, 1)
    assert (pair.out_channels, pair.in_channels) == (5, (2, 3))
