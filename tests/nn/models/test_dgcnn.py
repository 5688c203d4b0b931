"""DGCNN against a direct form with one row per edge and torch's batch normalisation."""

import pytest
import torch
from torch import nn

from graphkit.nn import DGCNN
from graphkit.nn.models.dgcnn import EdgeBlock
from graphkit.taps import tap
from graphkit.testing import assert_close


class DirectBlock(nn.Module):
    """The formula: a row per edge, BatchNorm1d over the rows, a maximum per node."""

    def __init__(self, block: EdgeBlock) -> None:
        super().__init__()
        self.lin, self.norm = block.lin, nn.BatchNorm1d(block.norm.num_features).double()
        self.norm.load_state_dict(block.norm.state_dict())

    def forward(self, x, neighbours):
        own = x.unsqueeze(1).expand(-1, neighbours.size(1), -1)
        edges = torch.cat([x[neighbours] - own, own], dim=-1)
        rows = self.norm(self.lin(edges.flatten(0, 1)))
        rows = nn.functional.leaky_relu(rows, 0.2)
        return rows.view(*neighbours.shape, -1).max(dim=1).values


@pytest.fixture
def block():
    block = EdgeBlock(3, 5).double()
    with torch.no_grad():
        block.norm.weight.copy_(torch.tensor([1.0, -0.7, 0.3, -2.0, 0.5]))
        block.norm.bias.normal_()
    return block


@pytest.fixture
def inputs():
    neighbours = torch.stack([torch.randperm(11)[:4] for _ in range(11)])
    return torch.randn(11, 3, dtype=torch.double, requires_grad=True), neighbours


def test_block_equals_the_direct_form(block, inputs):
    direct = DirectBlock(block)
    weight = torch.randn(11, 5, dtype=torch.double)
    for training in (True, True, False):
        outs, grads = [], []
        for module in (block.train(training), direct.train(training)):
            out = module(*inputs)
            leaves = (inputs[0], module.lin.weight, module.norm.weight, module.norm.bias)
            outs.append(out)
            grads.append(torch.autograd.grad((out * weight).sum(), leaves))
        assert_close(outs[0], outs[1], "outputs")
        for ours, theirs in zip(*grads, strict=True):
            assert_close(ours, theirs, "gradients")
    for name in ("running_mean", "running_var"):
        assert_close(getattr(block.norm, name), getattr(direct.norm, name), name)


def test_block_has_a_right_gradient(block, inputs):
    block.track = lambda *_: None
    assert torch.autograd.gradcheck(lambda x: block(x, inputs[1]), inputs[:1])


@pytest.fixture
def model():
    return DGCNN(3, 4, (8, 6), k=3, emb_channels=16, head_channels=(8,))


def points(*sizes):
    batch = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    return torch.randn(sum(sizes), 3), batch


def test_sets_do_not_mix(model):
    pos, batch = points(9, 5, 12)
    model.eval()
    together = model(pos, batch)
    alone = torch.cat([model(pos[batch == g]) for g in range(3)])
    assert_close(together, alone, "scores")


def test_order_of_the_points_does_not_matter(model):
    pos, _ = points(20)
    model.eval()
    assert_close(model(pos[torch.randperm(20)]), model(pos), "scores")


def test_graphs_are_rebuilt_in_every_layer(model):
    pos, batch = points(20, 20)
    with tap(model, "graphs.0", "graphs.1", "convs.0", "convs.1") as seen:
        model(pos, batch)
    edges = [seen[f"graphs.{i}"].output for i in range(2)]
    assert edges[0].shape == edges[1].shape == (2, 120)
    assert not torch.equal(*edges)
    assert [seen[f"convs.{i}"].output.size(1) for i in range(2)] == [8, 6]


def test_it_learns_to_tell_balls_from_shells(model):
    torch.manual_seed(0)
    pos, batch = points(*[16] * 24)
    y = torch.arange(24) % 2
    shell = (y == 1)[batch]
    pos = torch.where(shell.unsqueeze(1), pos / pos.norm(dim=1, keepdim=True), 0.3 * pos)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(pos, batch), y).backward()
        optimizer.step()
    assert (model.eval()(pos, batch).argmax(1) == y).float().mean() > 0.9


def test_parameters_of_the_paper():
    """1.8 million, as published for 40 classes."""
    parameters = sum(p.numel() for p in DGCNN(3, 40).parameters())
    assert 1.75e6 < parameters < 1.85e6


def test_reset_and_state(model):
    other = DGCNN(3, 4, (8, 6), k=3, emb_channels=16, head_channels=(8,)).eval()
    pos, _ = points(20)
    before = model.eval()(pos)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(pos), before)
    other.reset_parameters()
    assert not torch.equal(other(pos), before)


def test_wrong_input_is_named(model):
    pos, batch = points(9, 5)
    with pytest.raises(ValueError, match="sorted"):
        model(pos, batch.flip(0))
    with pytest.raises(ValueError, match="'hidden_channels' is empty"):
        DGCNN(3, 4, ())


@pytest.mark.parametrize("training", [False, True])
def test_bfloat16(training: bool) -> None:
    model = DGCNN(3, 5, hidden_channels=(8,), k=3, emb_channels=8, head_channels=(8,))
    model = model.bfloat16().train(training)
    x, sets = torch.rand(20, 3).bfloat16(), torch.arange(2).repeat_interleave(10)
    assert model(x, sets).dtype == torch.bfloat16


def test_autocast_keeps_the_statistics_in_float32() -> None:
    model = DGCNN(3, 5, hidden_channels=(8,), k=3, emb_channels=8, head_channels=(8,))
    model.head[0][1].eval()
    with torch.autocast("cpu", torch.bfloat16):
        model(torch.rand(40, 3), torch.arange(2).repeat_interleave(20))
    mean = model.convs[0].norm.running_mean
    assert mean.dtype == torch.float32
    assert bool((mean != 0).any())
