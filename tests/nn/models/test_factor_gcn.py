import copy

import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.nn import BatchNorm

from graphkit.datasets import SyntheticFactorGraphs
from graphkit.nn import FactorGCN

LAYERS = {"pool": [4, 2], "jk": [4, 4, 2, 2, 1], "mean": [4, 4, 2, 1], "node": [4, 2, 2]}


@pytest.fixture
def batch():
    return Batch.from_data_list(list(SyntheticFactorGraphs(4, 6, seed=1)))


def make(head, **options):
    torch.manual_seed(0)
    return FactorGCN(15, 16, 3, head=head, **options).double()


def run(model, batch, **options):
    return model(batch.x.double(), batch.edge_index, batch.batch, **options)


@pytest.mark.parametrize("head", LAYERS)
def test_heads_have_the_papers_layers(head, batch):
    model = make(head)
    assert [conv.num_factors for conv in model.convs] == LAYERS[head]
    assert len(model.losses) == sum(k > 1 for k in LAYERS[head])
    out, factors = run(model, batch, return_factors=True)
    assert out.shape == (batch.num_nodes if head == "node" else 6, 3)
    assert [score.size(1) for score in factors.scores] == LAYERS[head]
    assert factors.edge_index.size(1) == batch.num_edges + batch.num_nodes
    assert torch.equal(factors.edge_index[:, : batch.num_edges], batch.edge_index)
    assert all(((gate > 0) & (gate < 1)).all() for gate in factors.gates)


@pytest.mark.parametrize("head", LAYERS)
def test_batch_equals_single_graphs(head, batch):
    model = make(head).eval()
    alone = [model(g.x.double(), g.edge_index) for g in batch.to_data_list()]
    assert torch.allclose(run(model, batch), torch.cat(alone))


def test_pool_head_written_out(batch):
    model = make("pool", objective="none").eval()
    graph = batch[0]
    loops = torch.arange(15).expand(2, -1)
    edges = torch.cat([graph.edge_index, loops], 1)
    x = graph.x.double()
    for conv in model.convs:
        x = torch.nn.functional.leaky_relu(conv(x, edges), 0.2)
    expected = x.mean(0, keepdim=True).tanh() @ model.reads[0].weight.t() + model.reads[0].bias
    assert torch.allclose(model(graph.x.double(), graph.edge_index), expected)


@pytest.mark.parametrize(
    ("head", "options", "kind"),
    [
        ("pool", {}, torch.nn.Identity),
        ("jk", {}, BatchNorm),
        ("mean", {}, BatchNorm),
        ("node", {}, torch.nn.LayerNorm),
        ("node", {"variant": "released"}, BatchNorm),
        ("node", {"normalization": "batch"}, BatchNorm),
        ("jk", {"normalization": "layer"}, torch.nn.LayerNorm),
    ],
)
def test_norms_of_a_head(head, options, kind):
    model = make(head, **options)
    assert {type(norm) for norm in model.norms} == {kind}
    sizes = head in ("mean", "node") and kind is BatchNorm
    assert (model.size_norm is not None) == sizes


@pytest.mark.parametrize("scale", [1e-3, 1.0])
def test_small_features_are_evaluated_as_they_are_trained(scale, batch):
    """The fault of batch norms: their running variance begins far above that of small features."""
    x, model = scale * batch.x.double(), make("node", add_self_loops=False)
    for conv in model.convs:
        torch.nn.init.zeros_(conv.lin.bias)
    training = model(x, batch.edge_index, batch.batch)
    out = model.eval()(x, batch.edge_index, batch.batch)
    assert torch.equal(out, training)
    assert out.std(0).min() > 1e-2


def test_a_norm_that_a_head_does_not_have_is_refused():
    with pytest.raises(ValueError, match="'normalization' must be 'batch' or 'layer', got 'graph'"):
        make("node", normalization="graph")
    with pytest.raises(ValueError, match="head='pool' has no norm, but 'normalization' was given"):
        make("pool", normalization="layer")


def test_penalties(batch):
    paper, own, none = (make("pool", objective=o) for o in ("discriminator", "balance", "none"))
    _, factors = run(paper, batch, return_factors=True)
    total = 0.0
    x = batch.x.double()
    for conv, loss in zip(paper.convs, paper.losses, strict=True):
        gate = conv(x, factors.edge_index, True)[1][1]
        total = total + loss(conv.project(x), factors.edge_index, gate, batch.batch)
        x = torch.nn.functional.leaky_relu(conv(x, factors.edge_index), 0.2)
    assert torch.allclose(factors.penalty, total)
    _, factors = run(own, batch, return_factors=True)
    assert torch.allclose(factors.penalty, own.losses[0](factors.gates[0], factors.edge_index))
    assert float(run(none, batch, return_factors=True)[1].penalty) == 0.0
    assert float(run(paper.eval(), batch, return_factors=True)[1].penalty) == 0.0


def test_evaluation_is_repeatable_and_dropout_acts_in_training(batch):
    model = make("jk", dropout=0.5)
    assert not torch.equal(run(model, batch), run(model, batch))
    model.eval()
    assert torch.equal(run(model, batch), run(model, batch))


def test_every_parameter_gets_a_gradient(batch):
    for head in LAYERS:
        model = make(head)
        out, factors = run(model, batch, return_factors=True)
        (out.square().sum() + factors.penalty).backward()
        assert all(p.grad is not None for p in model.parameters()), head


def test_existing_self_loops_are_replaced(batch):
    model = make("pool").eval()
    graph = batch[0]
    loops = torch.arange(15).expand(2, -1)
    with_loops = torch.cat([loops, graph.edge_index], 1)
    x = graph.x.double()
    assert torch.allclose(model(x, with_loops), model(x, graph.edge_index))


def test_graphs_without_edges_and_a_batch_of_one():
    model = FactorGCN(3, 8, 2, head="jk", num_factors=2).eval()
    none = torch.empty(2, 0, dtype=torch.long)
    assert model(torch.rand(4, 3), none).isfinite().all()
    silent = FactorGCN(3, 8, 2, head="pool", num_factors=2, add_self_loops=False).eval()
    assert torch.equal(silent(torch.rand(4, 3), none)[0], silent.reads[0].bias)


def test_state_dict_copies_and_reset(batch):
    model = make("jk").eval()
    other = FactorGCN(15, 16, 3, head="jk").double().eval()
    other.load_state_dict(model.state_dict())
    assert torch.equal(run(copy.deepcopy(other), batch), run(model, batch))
    before = [p.clone() for p in model.convs.parameters()]
    model.reset_parameters()
    assert not any(torch.equal(a, b) for a, b in zip(before, model.convs.parameters(), strict=True))


def test_learns_the_labels_of_a_few_graphs(batch):
    model = FactorGCN(15, 16, 4, head="pool", variant="released")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        out, factors = model(batch.x, batch.edge_index, batch.batch, return_factors=True)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(out, batch.y)
        (loss + factors.penalty).backward()
        optimizer.step()
    assert float(loss.detach()) < 0.1


def test_factors_may_be_given_per_layer():
    model = FactorGCN(3, 12, 2, num_factors=[6, 3, 2, 1], head="pool")
    assert [conv.num_factors for conv in model.convs] == [6, 3, 2, 1]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"head": "sum"}, "head"),
        ({"objective": "gan"}, "objective"),
        ({"num_factors": 3}, "out_channels"),
    ],
)
def test_refuses_wrong_options(options, name):
    with pytest.raises(ValueError, match=name):
        FactorGCN(3, 8, 2, **options)
