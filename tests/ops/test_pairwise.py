"""Attention over both ends' features: dropout, batches, transforms, and what is refused."""

from __future__ import annotations

import pytest
import torch

from graphkit import ops
from graphkit.ops.cpu import threads
from tests.ops.oracles import GRAPHS, random_graph

EDGES, SOURCES, TARGETS = GRAPHS["bipartite"]
OPS = {
    "gatv2": (
        lambda x, y, att, attr, lin, **k: ops.gatv2_attention(
            EDGES, x, y, att, edge_attr=attr, lin_edge=lin, **k
        )
    ),
    "dot": (
        lambda x, y, att, attr, lin, **k: ops.dot_attention(
            EDGES, y * att, x, x, edge_attr=attr, lin_edge=lin, **k
        )
    ),
}


def inputs(*batch: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    shapes = [(*batch, SOURCES, 2, 3), (*batch, TARGETS, 2, 3), (2, 3), (EDGES.size(1), 4), (6, 4)]
    return [
        torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
        for shape in shapes
    ]


@pytest.mark.parametrize("backend", ["numba", "torch"])
@pytest.mark.parametrize("name", list(OPS))
def test_dropout_is_the_same_in_every_backend_and_pass(name, backend):
    values, results = inputs(2), []
    for where, asked in ((backend, False), (backend, True), ("reference", False)):
        torch.manual_seed(11)
        with ops.backend(where):
            out = OPS[name](*values, dropout=0.4, training=True, return_weights=asked)
        out = out[0] if asked else out
        results.append([out, *torch.autograd.grad(out.square().sum(), values)])
    for found, expected in zip(results[0] + results[1], results[2] * 2, strict=True):
        torch.testing.assert_close(found, expected)
    assert not torch.allclose(OPS[name](*values, dropout=0.4), results[0][0])


@pytest.mark.parametrize("backend", ["numba", "torch"])
@pytest.mark.parametrize("name", list(OPS))
def test_static_batch_is_the_loop_over_it(name, backend):
    x, y, *rest = inputs(3)
    with ops.backend(backend):
        together = OPS[name](x, y, *rest)
        alone = torch.stack([OPS[name](a, b, *rest) for a, b in zip(x, y, strict=True)])
    torch.testing.assert_close(together, alone)
    found, wanted = (
        torch.autograd.grad(out.square().sum(), [x, y, *rest]) for out in (together, alone)
    )
    for grad, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(grad, other)


@pytest.mark.parametrize("name", list(OPS))
def test_forward_mode_is_the_transpose_of_backward(name):
    values = [value.detach() for value in inputs()]
    tangents = tuple(torch.randn_like(value) for value in values)
    out, moved = torch.func.jvp(OPS[name], tuple(values), tangents)
    weight = torch.randn_like(out)
    leaves = [value.requires_grad_() for value in values]
    grads = torch.autograd.grad((OPS[name](*leaves) * weight).sum(), leaves)
    inner = sum((g * t).sum() for g, t in zip(grads, tangents, strict=True))
    torch.testing.assert_close((moved * weight).sum(), inner)


def in_registers(name, heads, width, with_edges, dtype=torch.float32):
    """The sums and the gradients of an op on a graph with a hub, whose rows are cut."""
    generator = torch.Generator().manual_seed(6)
    edges = random_graph(90, 80, 3_000, 5)
    edges[1, ::2] = 7
    shapes = [(90, heads, width), (80, heads, width), (heads, width)]
    if with_edges:
        shapes += [(3_000, 3), (heads * width, 3)]
    values = [torch.randn(shape, generator=generator) for shape in shapes]
    values = [(0.5 * value).to(dtype).requires_grad_() for value in values]
    x, y, att, *features = values
    named = dict(zip(("edge_attr", "lin_edge"), features, strict=False))
    torch.manual_seed(8)
    common = {"dropout": 0.3, "training": True, **named}
    if name == "gatv2":
        out = ops.gatv2_attention(edges, x, y, att, **common)
    else:
        out = ops.dot_attention(edges, y * att, x, x.sin(), **common)
    weight = torch.randn(out.shape, generator=generator).to(dtype)
    return [out.detach(), *torch.autograd.grad((out * weight).sum(), values)]


@pytest.mark.parametrize("with_edges", [False, True])
@pytest.mark.parametrize(("heads", "width"), [(8, 8), (4, 16), (16, 8), (8, 16), (8, 4)])
@pytest.mark.parametrize("name", list(OPS))
def test_heads_and_columns_by_the_eight_give_the_same(name, heads, width, with_edges, monkeypatch):
    monkeypatch.setattr(threads, "SMALL", 0)
    found, before = in_registers(name, heads, width, with_edges), torch.get_num_threads()
    with ops.backend("reference"):
        expected = in_registers(name, heads, width, with_edges, torch.float64)
    for value, wanted in zip(found, expected, strict=True):
        scale = float(wanted.abs().max())
        torch.testing.assert_close(value.double(), wanted, rtol=1e-5, atol=3e-6 * scale)
    try:
        torch.set_num_threads(3)
        again = in_registers(name, heads, width, with_edges)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))


REFUSED = {
    "x_dst": (ValueError, {"x_dst": torch.ones(TARGETS, 2, 4)}),
    "att": (ValueError, {"att": torch.ones(3, 3)}),
    "dropout": (ValueError, {"dropout": 1.5}),
    "edge_attr was given without lin_edge": (ValueError, {"edge_attr": torch.ones(20, 4)}),
    "lin_edge was given without edge_attr": (ValueError, {"lin_edge": torch.ones(6, 4)}),
    "lin_edge must have shape": (
        ValueError,
        {"edge_attr": torch.ones(20, 4), "lin_edge": torch.ones(4, 6)},
    ),
    "edge_attr has 3": (ValueError, {"edge_attr": torch.ones(3, 4), "lin_edge": torch.ones(6, 4)}),
    "x_src must be floating": (TypeError, {"x_src": torch.ones(SOURCES, 2, 3, dtype=torch.long)}),
}


@pytest.mark.parametrize("words", list(REFUSED))
def test_what_does_not_fit_is_refused_by_name(words):
    kind, wrong = REFUSED[words]
    right = {"x_src": torch.ones(SOURCES, 2, 3), "x_dst": torch.ones(TARGETS, 2, 3)}
    arguments = {**right, "att": torch.ones(2, 3), **wrong}
    with pytest.raises(kind, match=words):
        ops.gatv2_attention(EDGES, **arguments)


def test_values_must_fit_their_keys():
    x = torch.ones(SOURCES, 2, 3)
    query = torch.ones(TARGETS, 2, 3)
    with pytest.raises(ValueError, match=r"key .* and value .* must agree"):
        ops.dot_attention(EDGES, query, x, x[1:])
    with pytest.raises(ValueError, match="value must have the shape of key"):
        ops.dot_attention(
            EDGES, query, x, x[..., :2], edge_attr=torch.ones(20, 4), lin_edge=torch.ones(6, 4)
        )
