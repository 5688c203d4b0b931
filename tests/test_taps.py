"""Taps on PyG's models: values, alignment, gradients, and no trace whatever happens."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric import EdgeIndex
from torch_geometric.nn import (
    GAT,
    FAConv,
    GATConv,
    GATv2Conv,
    GCNConv,
    GraphSAGE,
    HypergraphConv,
    Sequential,
    TransformerConv,
)

from graphkit.taps import attention, tap
from graphkit.testing import assert_close, assert_no_trace, count_hooks, dense_adjacency
from tests.torchvision_networks import NETWORKS, images, network

EDGES = torch.tensor([[0, 1, 2, 1, 3], [1, 1, 1, 2, 0]])
LOOP_FREE = torch.tensor([[0, 2, 1, 3], [1, 1, 2, 0]])


@pytest.fixture
def x():
    return torch.randn(4, 8)


@pytest.fixture
def sage():
    return GraphSAGE(8, 5, num_layers=2, out_channels=3).eval()


def test_outputs_and_inputs_are_those_of_the_call(sage, x):
    with tap(sage, "convs.0", "convs.1") as inner:
        out = sage(x, EDGES)
    assert torch.equal(inner["convs.0"].input, x)
    assert torch.equal(inner["convs.0"].output, sage.convs[0](x, EDGES))
    assert torch.equal(inner["convs.1"].input, inner["convs.0"].output.relu())
    assert torch.equal(inner["convs.1"].output, out)
    assert list(inner) == ["convs.0", "convs.1"]


def test_features_stay_in_the_graph(sage, x):
    with tap(sage, "convs.0") as inner:
        sage(x, EDGES)
    inner["convs.0"].output.square().sum().backward()
    assert sage.convs[0].lin_l.weight.grad.abs().sum() > 0
    assert sage.convs[1].lin_l.weight.grad is None


def test_the_model_itself_and_keyword_arguments(sage, x):
    with tap(sage, "") as inner:
        out = sage(x=x, edge_index=EDGES)
    assert inner[""].output is out
    assert inner[""].input is x
    assert set(inner[""].kwargs) == {"x", "edge_index"}


def test_a_module_that_runs_twice_has_two_calls(x):
    conv = GCNConv(8, 8)
    twice = Sequential("x, edge_index", [(conv, "x, edge_index -> x")] * 2)
    name = next(name for name, module in twice.named_modules() if module is conv)
    with tap(twice, name) as inner:
        out = twice(x, EDGES)
        assert len(inner.calls[name]) == 2
        twice(x, EDGES)
    assert len(inner.calls[name]) == 2, "a new forward pass starts afresh"
    assert torch.equal(inner[name].output, out)


def test_nothing_collected_is_an_error_that_says_so(sage, x):
    with tap(sage, "convs.0") as inner, pytest.raises(KeyError, match="has not run"):
        inner["convs.0"]
    with pytest.raises(KeyError, match="not tapped"):
        inner["convs.1"]


@pytest.mark.parametrize("opened", [tap, attention])
def test_unknown_name_lists_the_nearest(opened):
    model = GAT(8, 4, num_layers=2, heads=1)
    with (
        pytest.raises(ValueError, match=r"no submodule 'conv\.0'.*convs\.0"),
        opened(model, "conv.0"),
    ):
        model(torch.zeros(4, 8), EDGES)
    assert count_hooks(model) == 0


def test_no_name_is_an_error(sage):
    with pytest.raises(ValueError, match="at least one"), tap(sage):
        sage.train()


@pytest.mark.parametrize("opened", [tap, attention])
def test_no_trace_after_an_exception(opened, x):
    model = GAT(8, 4, num_layers=2, heads=1).eval()
    with assert_no_trace(model):
        with pytest.raises(IndexError), opened(model, "convs.0", "convs.1"):
            model(x, EDGES + 4)
        with pytest.raises(ZeroDivisionError), opened(model, "convs.0"):
            assert model(x, EDGES).size(0) / 0
        with pytest.raises(ValueError, match="no submodule"), opened(model, "convs.0", "nowhere"):
            model(x, EDGES)
    assert isinstance(model(x, EDGES), torch.Tensor)


@pytest.mark.parametrize("opened", [tap, attention])
def test_a_failed_call_inside_the_block_does_not_shift_the_next(opened, x):
    model = GAT(8, 4, num_layers=2, heads=1).eval()
    with opened(model, "convs.0", "convs.1") as inner:
        with pytest.raises(IndexError):
            model(x, EDGES + 4)
        out = model(x, EDGES)
        assert [len(inner.calls[name]) for name in inner] == [1, 1]
    assert torch.equal(out, model(x, EDGES))


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("opened", [tap, attention])
def test_compiled_models_are_refused(opened, in_place):
    model = GAT(8, 4, num_layers=2, heads=1)
    if in_place:
        model.compile(backend="eager")
    else:
        model = torch.compile(model, backend="eager")
    with pytest.raises(TypeError, match="hooks set after"), opened(model, "convs.0"):
        model(torch.zeros(4, 8), EDGES)


def test_a_compiled_part_is_refused_and_its_neighbours_are_not(x):
    parts = {"fast": torch.compile(GATConv(8, 8), backend="eager"), "plain": GATConv(8, 8)}
    model = nn.ModuleDict(parts)
    with pytest.raises(TypeError, match="hooks set after"), tap(model, "fast._orig_mod.lin"):
        model["fast"](x, EDGES)
    with tap(model, "plain.lin") as inner:
        model["plain"](x, EDGES)
    assert inner["plain.lin"].output.shape == (4, 8)


def dense_gat(conv, x, edge_index):
    """``alpha[target, source, head]`` of GATConv by dense algebra."""
    h = conv.lin(x).view(x.size(0), conv.heads, -1)
    score = (h * conv.att_src).sum(-1)[None] + (h * conv.att_dst).sum(-1)[:, None]
    keep = edge_index[:, edge_index[0] != edge_index[1]]
    mask = (dense_adjacency(keep, x.size(0)) + torch.eye(x.size(0))) > 0
    score = F.leaky_relu(score, 0.2).masked_fill(~mask[..., None], -torch.inf)
    return score.softmax(1)


def test_gat_attention_is_aligned_although_a_self_loop_came_in(x):
    """Probe P1: PyG's AttentionExplainer shifts these by one, in silence."""
    conv = GATConv(8, 3, heads=2)
    with attention(conv) as weights:
        out = conv(x, EDGES)
    expected = dense_gat(conv, x, EDGES)
    assert_close(weights[""].alpha, expected[EDGES[1], EDGES[0]])
    assert_close(weights[""].self_loops, expected.diagonal().t())
    assert torch.equal(out, conv(x, EDGES))


@pytest.mark.parametrize("kind", [GATConv, GATv2Conv, TransformerConv])
def test_weights_of_one_target_sum_to_one(kind, x):
    conv = kind(8, 3, heads=2)
    with attention(conv) as weights:
        conv(x, LOOP_FREE)
    found = weights[""]
    total = torch.zeros(4, 2).index_add(0, LOOP_FREE[1], found.alpha)
    if found.self_loops is None:
        assert_close(total[:3], torch.ones(3, 2))
    else:
        assert_close(total + found.self_loops, torch.ones(4, 2))


@pytest.mark.parametrize("kind", [GATConv, GATv2Conv, TransformerConv])
def test_attention_equals_what_the_layer_returns(kind, x):
    conv = kind(8, 3, heads=2)
    _, (edges, alpha) = conv(x, EDGES, return_attention_weights=True)
    by_edge = {tuple(edge): row for edge, row in zip(edges.t().tolist(), alpha, strict=True)}
    with attention(conv) as weights:
        conv(x, EDGES)
    expected = torch.stack([by_edge[tuple(edge)] for edge in EDGES.t().tolist()])
    assert torch.equal(weights[""].alpha, expected)


def test_attention_is_differentiable(x):
    model = GAT(8, 4, num_layers=2, heads=2)
    with attention(model) as weights:
        model(x, EDGES)
    loss = sum(found.alpha.square().sum() for found in weights.values())
    loss.backward()
    for conv in model.convs:
        assert conv.att_src.grad.abs().sum() > 0
        assert conv.lin.weight.grad.abs().sum() > 0


def test_asking_oneself_still_works(x):
    conv = GATConv(8, 3)
    with attention(conv) as weights, attention(conv) as again:
        out, (_, alpha) = conv(x, LOOP_FREE, return_attention_weights=True)
        assert isinstance(conv(x, LOOP_FREE), torch.Tensor)
        assert isinstance(conv(x, LOOP_FREE, None, None, None), torch.Tensor)
    assert out.shape == (4, 3)
    assert torch.equal(weights[""].layer_alpha, alpha)
    assert torch.equal(again[""].alpha, alpha[: LOOP_FREE.size(1)])


def test_tap_and_attention_on_one_layer(x):
    model = GAT(8, 4, num_layers=2, heads=1)
    with tap(model, "convs.0") as inner, attention(model, "convs.0") as weights:
        model(x, EDGES)
    assert inner["convs.0"].output.shape == (4, 4)
    assert weights["convs.0"].alpha.shape == (5, 1)


def test_layers_whose_message_takes_alpha(x):
    conv = HypergraphConv(8, 3, use_attention=True)
    with attention(conv) as weights:
        conv(x, EDGES, hyperedge_attr=torch.randn(3, 8))
    assert weights[""].alpha.shape == (5, 1)
    with attention(FAConv(8, add_self_loops=False)) as weights:
        assert list(weights) == [""]


def test_edge_index_class(x):
    conv = GATConv(8, 3)
    with attention(conv) as weights:
        conv(x, LOOP_FREE)
        plain = weights[""].alpha
        conv(x, EdgeIndex(LOOP_FREE, sparse_size=(4, 4)))
    assert_close(weights[""].alpha, plain)


def test_models_without_attention_are_refused(sage):
    with pytest.raises(ValueError, match="no attention layer"), attention(sage):
        sage.train()
    model = nn.ModuleDict({"gcn": GCNConv(8, 8), "gat": GATConv(8, 8)})
    with pytest.raises(ValueError, match=r"\['gcn'\].*\['gat'\] do"), attention(model, "gcn"):
        model.train()


class PathAttention(nn.Module):
    """Attends over other pairs than ``edge_index``, as path layers do (probe P2)."""

    def forward(self, x, edge_index, return_attention_weights=False):
        pairs = torch.cat([edge_index, edge_index.flip(0)], dim=1)
        alpha = torch.ones(pairs.size(1), 1)
        return (x, (pairs, alpha)) if return_attention_weights else x


def test_other_pairs_than_the_edges_are_not_forced_onto_them(x):
    layer = PathAttention()
    with attention(layer) as weights:
        layer(x, EDGES)
    assert weights[""].layer_alpha.shape == (10, 1)
    with pytest.raises(ValueError, match="10 edges that are not the 5 edges"):
        assert weights[""].alpha.shape


def test_sparse_adjacency_is_refused(x):
    conv = GATConv(8, 3, add_self_loops=False)
    with torch.sparse.check_sparse_tensor_invariants():
        adj = torch.eye(4).to_sparse()
    with pytest.raises(TypeError, match="edge_index"), attention(conv):
        conv(x, adj)
    assert count_hooks(conv) == 0


class InPlace(nn.Module):
    """What networks of images do: activations and sums write into what layers gave."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.act(self.first(x))
        y = self.second(y)
        y += x
        return self.act(y)


def test_outputs_that_are_written_to_in_place_are_kept():
    model, x = InPlace(), torch.randn(3, 4)
    expected = model.second(model.first(x).relu())
    out = model(x)
    with tap(model, "first", "second") as inner:
        assert torch.equal(model(x), out)
    assert torch.equal(inner["first"].output, model.first(x))
    assert torch.equal(inner["second"].output, expected)
    inner["first"].output.square().sum().backward()
    assert model.first.weight.grad.abs().sum() > 0


def test_an_input_that_was_written_to_in_place_is_refused():
    model = InPlace()
    with tap(model, "act") as inner:
        out = model(torch.randn(3, 4))
    assert torch.equal(inner["act"].output, out)
    for read in ("input", "args"):
        with pytest.raises(RuntimeError, match="args were written to in place"):
            getattr(inner["act"], read)


@pytest.mark.vision
@pytest.mark.parametrize("name", NETWORKS)
def test_features_of_torchvision_networks_are_those_of_its_feature_extractor(name):
    from torchvision.models.feature_extraction import create_feature_extractor

    model, x = network(name), images()
    leaves = [key for key, part in model.named_modules() if not list(part.children())]
    copies = {}
    hooks = [
        part.register_forward_hook(lambda _, args, out, key=key: copies.update({key: copy_of(out)}))
        for key, part in model.named_modules()
        if key in leaves
    ]
    plain = model(x)
    for hook in hooks:
        hook.remove()
    with tap(model, *leaves) as inner:
        out = model(x)
    assert torch.equal(out, plain)
    assert len(copies) > 10
    for key, expected in copies.items():
        assert torch.equal(copy_of(inner[key].output), expected), key
    top = next(key for key, _ in model.named_children())
    extracted = create_feature_extractor(model, [top])(x)[top]
    with tap(model, top) as inner:
        model(x)
    assert torch.equal(inner[top].output, extracted)


def copy_of(out):
    return out[0].clone() if isinstance(out, tuple) else out.clone()


class Scaled(nn.Module):
    """Takes and gives what is no tensor as well."""

    def forward(self, x, factor, names=None):
        return {"x": x * factor, "factor": factor, "name": "scaled", "none": names}


@pytest.mark.parametrize("factor", [2, 2.5, True])
def test_numbers_words_and_nothing_pass_beside_tensors(factor):
    model, x = nn.ModuleDict({"part": Scaled()}), torch.ones(2)
    with tap(model, "part") as inner:
        out = model["part"](x, factor, names=None)
    call = inner["part"]
    assert call.args[1] is factor
    assert torch.equal(call.output["x"], factor * x)
    assert (out["factor"], out["name"], out["none"]) == (factor, "scaled", None)
    with tap(model, "part") as inner:
        model["part"](x, 3, names=[torch.ones(1), 4])
    assert len(inner["part"].kwargs["names"]) == 2
