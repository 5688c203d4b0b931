"""Where marks are set and where they arrive, on networks of a few channels."""

import pytest
import torch
from torch import nn
from torch_geometric.nn import GATConv, GCNConv

from graphkit.compress import ChannelDependency
from graphkit.compress.channel_probe import INPUT, along, blot, has_mark


def test_marks_are_nan_on_some_channels():
    x = torch.arange(6.0).view(1, 3, 2)
    marked = blot(x, torch.tensor([True, False, True]), 1)
    assert marked.isnan().tolist() == [[[True, True], [False, False], [True, True]]]
    assert marked[0, 1].tolist() == [2, 3]
    assert not x.isnan().any()
    assert blot(x, torch.tensor([False, True]), -1).isnan()[0, :, 1].all()
    assert along(torch.arange(3), x, 1).shape == (1, 3, 1)
    assert along(torch.arange(2), x, -1).shape == (1, 1, 2)


def test_a_mark_is_nan_in_a_tensor_of_floats():
    assert has_mark(torch.tensor([0.0, torch.nan]))
    assert [has_mark(v) for v in (torch.zeros(2), torch.ones(2).long(), None, "nan")] == [False] * 4


class Crossed(nn.Module):
    """Two layers side by side, the second turned about, and one that reads both."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.last = nn.Linear(2, 3), nn.Linear(2, 3), nn.Linear(6, 2)
        self.unused = nn.Linear(7, 7)

    def forward(self, x):
        return self.last(torch.cat([self.a(x), self.b(x).flip(1)], 1))


def test_sources_say_which_channel_arrives_at_which_place():
    dependency = ChannelDependency(Crossed(), (torch.rand(5, 2),))
    last = dependency.units["last"]
    assert last.sources["a"].tolist() == [0, 1, 2, -1, -1, -1]
    assert last.sources["b"].tolist() == [-1, -1, -1, 2, 1, 0]
    assert dependency.units["a"].sources[INPUT].tolist() == [0, 1]
    assert list(dependency.units) == [INPUT, "a", "b", "last"], "in the order of their calls"
    assert [unit.width for unit in dependency.units.values()] == [2, 3, 3, 2]
    # The input and what reaches the output stay.
    assert dependency.locked == {INPUT, "last"}
    assert dependency.num_groups == 6


def test_one_channel_is_a_group_as_well():
    model = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    dependency = ChannelDependency(model, (torch.rand(3, 1),))
    assert dependency.units["1"].sources["0"].tolist() == [0]
    assert dependency.num_groups == 1


class Twice(nn.Module):
    """A layer that is called twice: what arrives in either call counts."""

    def __init__(self, mixing=False):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(2, 4), nn.Linear(2, 4), nn.Linear(4, 4)
        self.last, self.mixing = nn.Linear(4, 1), mixing

    def forward(self, x):
        h = self.a(x)
        h = h.cumsum(1) if self.mixing else h
        return self.last(self.c(h) + self.c(self.b(x)))


def test_a_layer_that_is_called_twice_ties_what_it_reads():
    dependency = ChannelDependency(Twice(), (torch.rand(3, 2),))
    sources = dependency.units["c"].sources
    assert sources["a"].tolist() == sources["b"].tolist() == [0, 1, 2, 3]
    assert dependency.num_groups == 8
    assert torch.equal(dependency.group["a"], dependency.group["b"])


def test_what_mixes_channels_keeps_them():
    dependency = ChannelDependency(Twice(mixing=True), (torch.rand(3, 2),))
    assert dependency.locked == {INPUT, "a", "last"}
    # What joins mixed channels stays as well.
    assert dependency.num_groups == 4
    assert (dependency.group["a"] < 0).all()
    assert (dependency.group["b"] < 0).any()


def test_graphs_have_channels_last_and_maps_second():
    edges = torch.tensor([[0, 1], [1, 0]])

    class Graph(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = GCNConv(3, 4), GCNConv(4, 2)

        def forward(self, x, edge_index):
            return self.two(self.one(x, edge_index).relu(), edge_index)

    graph = ChannelDependency(Graph(), (torch.rand(2, 3), edges))
    assert graph.input_at == -1
    assert graph.units["one.lin"].sources[INPUT].tolist() == [0, 1, 2]
    # The bias is a tensor of the convolution around the linear layer.
    names, sources = graph.followers["one"]
    assert (names, sources["one.lin"].tolist()) == (["bias"], [0, 1, 2, 3])
    maps = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    images = ChannelDependency(maps, (torch.rand(2, 3, 5, 4),))
    assert images.input_at == 1
    assert images.units["0"].sources[INPUT].tolist() == [0, 1, 2]
    assert images.followers["1"][1]["0"].tolist() == [0, 1, 2, 3]


def test_the_users_model_has_no_hook_and_its_mode_afterwards():
    model = nn.Sequential(nn.Linear(2, 3), nn.Dropout(), nn.Linear(3, 1)).train()
    ChannelDependency(model, (torch.rand(3, 2),))
    assert model.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize(
    ("make", "args", "message"),
    [
        (lambda: nn.Linear(2, 2), torch.rand(0, 2), r"no sample: the features are \[0, 2\]"),
        (lambda: nn.Linear(2, 2), torch.full((1, 2), torch.nan), "give NaN"),
    ],
)
def test_samples_that_cannot_be_marked_are_refused(make, args, message):
    model = nn.Sequential(make(), nn.Linear(2, 1))
    with pytest.raises(ValueError, match=message):
        ChannelDependency(model, (args,))


class Odd(nn.Module):
    """Calls its layers in a way that says nothing about channels."""

    def __init__(self, widths):
        super().__init__()
        self.first, self.second, self.widths = nn.Linear(2, 3), nn.Linear(3, 1), widths
        self.scale = Scale()

    def forward(self, x):
        h = self.first(x)
        return self.scale(self.second(self.scale(h))) if self.widths else self.second(input=h)


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.by = nn.Parameter(torch.ones(2))

    def forward(self, x):
        return x * self.by.sum()


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        (False, "'second' does not get one tensor of features first"),
        (True, "'scale' is called with features of different widths"),
    ],
)
def test_calls_that_say_nothing_are_named(widths, message):
    with pytest.raises(ValueError, match=message):
        ChannelDependency(Odd(widths), (torch.rand(3, 2),))


def test_layers_inside_a_layer_are_its_own():
    class Attentive(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = GATConv(3, 4, heads=2), GATConv(8, 2)

        def forward(self, x, edge_index):
            return self.two(self.one(x, edge_index).relu(), edge_index)

    edges = torch.tensor([[0, 1], [1, 0]])
    dependency = ChannelDependency(Attentive(), (torch.rand(2, 3), edges))
    assert list(dependency.units) == [INPUT, "one", "two"]
    assert dependency.units["one"].width == 4, "of one head"
    assert dependency.units["two"].sources["one"].tolist() == [0, 1, 2, 3] * 2
