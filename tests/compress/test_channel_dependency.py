import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.nn import GAT, GCN, GIN, GCN2Conv, GraphSAGE

from benchmarks.problems.residual import ResidualNet
from graphkit.compress import ChannelDependency, QuantizationNetwork
from graphkit.testing.asserts import assert_no_trace

torch.manual_seed(0)
X, EDGES = torch.randn(9, 6), torch.randint(9, (2, 30))
IMAGES = torch.randn(2, 3, 8, 8)


class Branches(nn.Module):
    """Concatenation, a depthwise convolution, flattening."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 3, padding=1)
        self.depthwise, self.norm = nn.Conv2d(9, 9, 3, padding=1, groups=9), nn.BatchNorm2d(9)
        self.lin, self.last = nn.Linear(9 * 4, 6), nn.Linear(6, 2)

    def forward(self, x):
        a = self.a(x).relu()
        h = torch.cat([self.b(a), a], 1)
        h = F.max_pool2d(self.norm(self.depthwise(h)).relu(), 4)
        return self.last(self.lin(h.flatten(1)).relu())


class Mixed(nn.Module):
    """Channels that a layer norm and a softmax mix, and a sum of both with another."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (nn.Linear(6, 5) for _ in range(3))
        self.free, self.norm, self.last = nn.Linear(6, 4), nn.LayerNorm(5), nn.Linear(9, 2)

    def forward(self, x):
        mixed = self.norm(self.a(x)) + self.b(x).softmax(1) + self.c(x)
        return self.last(torch.cat([mixed.relu(), self.free(x)], 1))


def shaken(model):
    """A model whose norms and biases are far from where they begin."""
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.5, 2)
        for name, parameter in module.named_parameters(recurse=False):
            if name == "bias":
                nn.init.uniform_(parameter, -1, 1)
    return model.eval()


CASES = {
    "residual": (lambda: ResidualNet(4), (IMAGES,), 44),
    "branches": (Branches, (IMAGES,), 15),
    "gcn": (lambda: GCN(6, 8, 3, 4, norm="batch_norm"), (X, EDGES), 16),
    "gcn jk": (lambda: GCN(6, 8, 3, 4, jk="cat"), (X, EDGES), 24),
    "sage": (lambda: GraphSAGE(6, 8, 3, 4), (X, EDGES), 16),
    "sage project": (lambda: GraphSAGE(6, 8, 2, 4, project=True, aggr="max"), (X, EDGES), 22),
    "gin": (lambda: GIN(6, 8, 2, 4, train_eps=True), (X, EDGES), 20),
    "gat": (lambda: GAT(6, 8, 3, 4, heads=2), (X, EDGES), 8),
    "gat mean": (lambda: GAT(6, 8, 3, 4, heads=2, concat=False, residual=True), (X, EDGES), 16),
}


def without_scores(model, dependency, mask):
    """Attention whose scores do not hear the channels that go."""
    model = copy.deepcopy(model)
    for name, keep in dependency.spread(mask).items():
        layer = model.get_submodule(name) if name in dict(model.named_modules()) else None
        if hasattr(layer, "att_src"):
            with torch.no_grad():
                layer.att_src[:, :, ~keep] = 0
                layer.att_dst[:, :, ~keep] = 0
    return model


@pytest.mark.parametrize("kind", CASES)
def test_the_cut_network_is_the_masked_one(kind):
    make, args, count = CASES[kind]
    model = shaken(make())
    with assert_no_trace(model):
        dependency = ChannelDependency(model, args)
    assert dependency.num_groups == count
    for seed in range(3):
        mask = torch.rand(count, generator=torch.Generator().manual_seed(seed)) < 0.6
        mask = dependency.repaired(mask)
        small, masked = dependency.cut(mask), without_scores(model, dependency, mask)
        with dependency.masked(masked, mask):
            expected = masked(*args)
        assert torch.allclose(small(*args), expected, atol=1e-5)
        sizes = [sum(p.numel() for p in net.parameters()) for net in (small, model)]
        assert sizes[0] < sizes[1]
        assert pickle.loads(pickle.dumps(small))(*args).equal(small(*args))
    everything = torch.ones(count, dtype=torch.bool)
    assert torch.equal(dependency.cut(everything)(*args), model(*args))


@pytest.mark.parametrize("kind", ["residual", "gcn", "gat"])
def test_a_cut_network_learns_and_can_be_cut_again(kind):
    make, args, _ = CASES[kind]
    dependency = ChannelDependency(make(), args)
    small = dependency.cut(dependency.repaired(torch.arange(dependency.num_groups) % 2 == 0))
    small.train()(*args).square().sum().backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in small.parameters())
    again = ChannelDependency(small, args)
    smaller = again.cut(again.repaired(torch.zeros(again.num_groups, dtype=torch.bool)))
    assert smaller.eval()(*args).isfinite().all()


def test_added_channels_are_tied():
    dependency = ChannelDependency(ResidualNet(4), (IMAGES,))
    groups = dependency.group
    assert torch.equal(groups["stem.0"], groups["stages.0.second"])
    assert torch.equal(groups["stages.1.second"][:4], groups["stem.0"])
    assert not set(groups["stages.1.second"][4:].tolist()) & set(groups["stem.0"].tolist())
    assert (groups["head"] == -1).all()


def test_flattened_channels_have_a_place_for_every_pixel():
    dependency = ChannelDependency(Branches(), (IMAGES,))
    sources = dependency.units["lin"].sources
    place = torch.arange(36) // 4
    assert torch.equal(sources["b"], torch.where(place < 5, place, -1))
    assert torch.equal(sources["a"], torch.where(place >= 5, place - 5, -1))


def test_mixed_channels_stay_and_so_do_those_added_to_them():
    dependency = ChannelDependency(Mixed(), (X,))
    for name in ("a", "b", "c"):
        assert (dependency.group[name] == -1).all()
    assert dependency.num_groups == 4
    assert dependency.cut(torch.arange(4) < 1)(X).shape == (9, 2)


def test_layers_of_other_kinds_keep_what_they_read():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.conv, self.last = nn.Linear(6, 8), GCN2Conv(8, 0.1), nn.Linear(8, 3)
            self.recurrent, self.feed = nn.GRU(4, 3), nn.Linear(6, 4)

        def forward(self, x, edge_index):
            h = self.first(x)
            steps, _ = self.recurrent(self.feed(x).unsqueeze(0))
            return self.last(self.conv(h, h, edge_index).relu()) + steps[0]

    with pytest.raises(ValueError, match="no channel of 'model' can be pruned"):
        ChannelDependency(Net(), (X, EDGES))


def test_empty_layers_keep_their_strongest_channel():
    dependency = ChannelDependency(GCN(6, 8, 3, 4), (X, EDGES))
    mask = torch.zeros(16, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"leaves no channel of 'convs\.0\.lin'"):
        dependency.cut(mask)
    repaired = dependency.repaired(mask)
    norms = dependency.model.convs[0].lin.weight.abs().sum(1)
    assert repaired.sum() == 2
    assert repaired[:8].nonzero().item() == norms.argmax()
    assert torch.allclose(dependency.norms()[:8], norms)


def test_chosen_layers_alone_are_pruned():
    dependency = ChannelDependency(GCN(6, 8, 3, 4), (X, EDGES), layers=["convs.1.lin"])
    assert dependency.num_groups == 8
    small = dependency.cut(torch.arange(8) < 3)
    assert [conv.lin.weight.shape for conv in small.convs] == [(8, 6), (3, 8), (4, 3)]
    assert [conv.in_channels for conv in small.convs] == [6, 8, 3]


def test_wrong_arguments_are_named():
    model = GCN(6, 8, 2, 4)
    with pytest.raises(ValueError, match="no layers with channels are"):
        ChannelDependency(model, (X, EDGES), layers=["convs.7"])
    with pytest.raises(ValueError, match="'args' give NaN"):
        ChannelDependency(model, (X * torch.nan, EDGES))
    with pytest.raises(ValueError, match="parametrized"):
        ChannelDependency(QuantizationNetwork(model, layers=["convs.0.lin"]), (X, EDGES))
    dependency = ChannelDependency(model, (X, EDGES))
    for mask in (torch.ones(7).bool(), torch.ones(8)):
        with pytest.raises(ValueError, match="'mask' must be bool"):
            dependency.cut(mask)
    tied = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.Linear(6, 2))
    tied[2].weight = tied[0].weight
    with pytest.raises(ValueError, match="share their weights"):
        ChannelDependency(tied, (X,))
    with pytest.raises(ValueError, match="no sample"):
        ChannelDependency(tied, (X[:0],))
