"""Two networks that teach each other: whose loss reaches whom, turns, graphs."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.nn import GAT, GCN

from graphkit.distill import MutualExploration, MutualTask
from graphkit.train import Trainer


def net(width):
    conv, norm = nn.Conv2d(1, width, 3, 1, 1), nn.BatchNorm2d(width)
    return nn.Sequential(conv, norm, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3))


def make(**options):
    return MutualExploration(net(6), net(4), ("1", "1"), (6, 4), **options)


X, Y = torch.rand(8, 1, 4, 4), torch.arange(8) % 3


@pytest.mark.parametrize("turn", [0, 1])
def test_a_turn_trains_one_network_and_leaves_the_other(turn):
    model = make()
    other = copy.deepcopy(model.networks[1 - turn].state_dict())
    model.loss(X, y=Y, turn=turn).backward()
    for place, (network, loss) in enumerate(zip(model.networks, model.losses, strict=True)):
        for p in [*network.parameters(), *loss.parameters()]:
            assert (p.grad is not None) == (place == turn)
    after = model.networks[1 - turn].state_dict()
    assert all(torch.equal(other[name], value) for name, value in after.items())
    assert all(module.training for module in model.modules() if module is not model)


def test_the_objective_of_a_turn_by_hand():
    model = make(divergence=0.5)
    student, teacher = copy.deepcopy(model.networks[0]), copy.deepcopy(model.networks[1]).eval()
    z, f = student(X), copy.deepcopy(model.networks[0])[:2](X)
    with torch.no_grad():
        wanted, theirs = teacher(X), teacher[:2](X)
    p = wanted.softmax(1)
    divergence = (p * (p.log() - z.log_softmax(1))).sum(1).mean()
    rest = copy.deepcopy(model.losses[0])(f, theirs)
    expected = F.cross_entropy(z, Y) + 0.5 * divergence + rest
    torch.testing.assert_close(model.loss(X, y=Y, turn=0), expected)


def test_terms_are_watched_with_their_weights(monkeypatch):
    """Weight times value is what the objective adds, also where a weight is large."""
    model, watched = make(divergence=0.5), {}
    model.losses[0].inheritance = 90.0
    monkeypatch.setattr(
        "graphkit.distill.mutual_exploration.watch_terms",
        lambda _, terms, *__: watched.update(terms),
    )
    objective = model.loss(X, y=Y, turn=0)
    weights = {name: weight for name, (weight, _) in watched.items()}
    assert weights == {"labels": 1.0, "divergence": 0.5, "inheritance' and 'exploration": 90.0}
    torch.testing.assert_close(sum(w * value for w, value in watched.values()), objective)


def test_together_no_gradient_crosses():
    """The gradients of one loss for both are those of each network's own."""
    model = make()
    other = copy.deepcopy(model)
    model.loss(X, y=Y).backward()
    together = [p.grad.clone() for p in model.networks[0].parameters()]
    seen = [other.look(place, True, (X,), {}, None) for place in (0, 1)]
    alone = torch.autograd.grad(other.term(0, seen, Y), [*other.networks[0].parameters()])
    for first, second in zip(together, alone, strict=True):
        torch.testing.assert_close(first, second)


def test_auto_encoders_learn_along():
    model = make()
    coder = model.losses[0].coder
    assert coder.training
    model.loss(X, y=Y).backward()
    assert all(p.grad is not None for p in coder.parameters())
    assert model.losses[0].terms(torch.rand(4, 6, 4, 4), torch.rand(4, 4, 4, 4))["error"] > 0


def test_graph_networks_in_turns():
    x, edge_index, y = torch.rand(20, 8), torch.randint(20, (2, 60)), torch.arange(20) % 3
    nets = GCN(8, 6, 2, 3), GAT(8, 4, 2, 3)
    model = MutualExploration(*nets, ("convs.0",) * 2, (6, 4), spatial=False)

    def loss(m, rows, turn):
        return m.loss(x, edge_index, y=y[rows], rows=rows, turn=turn)

    task = MutualTask((torch.arange(20),), loss, 20)
    with torch.no_grad():
        before = [F.cross_entropy(out, y) for out in model.eval()(x, edge_index)]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    Trainer(12, monitor=None, progress=False).fit(model.train(), optimizer, task)
    after = [F.cross_entropy(out, y) for out in model.eval()(x, edge_index)]
    assert all(end < start for start, end in zip(before, after, strict=True))


def test_batches_come_twice():
    task = MutualTask((torch.arange(5),), lambda m, x, turn: x.sum(), batch_size=3)
    batches = list(task.batches(0))
    assert [turn for _, turn in batches] == [0, 1, 0, 1]
    assert torch.equal(batches[0][0], batches[1][0])
    assert [task.size(batch) for batch in batches] == [3, 3, 2, 2]
    idle = list(task.shard(4, 8).batches(0))
    assert [(task.size(batch), batch[1]) for batch in idle] == [(0, 0), (0, 1)] * 2


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="must be two each"):
        MutualExploration(net(6), net(4), ("1",), (6, 4))
    with pytest.raises(ValueError, match="'divergence'"):
        make(divergence=-1.0)
    with pytest.raises(ValueError, match="'turn'"):
        make().loss(X, y=Y, turn=2)
    with pytest.raises(ValueError, match="no submodule '9'"):
        MutualExploration(net(6), net(4), ("1", "9"), (6, 4))
    twin = net(6)
    with pytest.raises(ValueError, match="'first' and 'second' are one network"):
        MutualExploration(twin, twin, ("1", "1"), (6, 6))
    with pytest.raises(ValueError, match="'y' holds no sample"):
        make().loss(X[:0], y=Y[:0])
