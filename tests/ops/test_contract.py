"""Every op on every backend against dense algebra: values and first and second derivatives.

``GRAPHKIT_TEST_BACKENDS`` names other backends than those that run everywhere; the test of the
Triton backend starts this file again with it.
"""

from __future__ import annotations

import os

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from graphkit import ops
from graphkit.ops.attention import self_attention
from tests.ops.oracles import CASES, GRAPHS, SHAPES, make_inputs

EVERYWHERE = "reference,numba,torch,torch_scatter"
BACKENDS = [
    pytest.param(name, marks=pytest.mark.scatter) if name == "torch_scatter" else name
    for name in os.environ.get("GRAPHKIT_TEST_BACKENDS", EVERYWHERE).split(",")
]
SLOW = BACKENDS == ["triton"]
# The interpreter of Triton takes long: the smallest graphs tell it nothing new.
FEW = ["bipartite", "no_edges", "duplicates", "sorted"]
TRIED = [(graph, "H3C5") for graph in (FEW if SLOW else GRAPHS)]
TRIED += [] if SLOW else [("hub", shape) for shape in SHAPES if shape != "H3C5"]


@pytest.fixture(params=BACKENDS)
def backend(request):
    with ops.backend(request.param):
        yield request.param


@pytest.mark.parametrize(("graph", "shape"), TRIED)
@pytest.mark.parametrize("name", list(CASES))
def test_equals_dense_algebra(backend, name, graph, shape):
    case = CASES[name]
    edge_index, size, inputs = make_inputs(case, graph, shape)
    out, expected = case.run(edge_index, size, *inputs), case.dense(edge_index, size, *inputs)
    torch.testing.assert_close(out, expected)
    weight = torch.randn_like(expected)
    grads = torch.autograd.grad((out * weight).sum(), inputs)
    expected_grads = torch.autograd.grad((expected * weight).sum(), inputs)
    for grad, expected_grad in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(grad, expected_grad)


@pytest.mark.parametrize("graph", ["bipartite"] if SLOW else ["bipartite", "empty_rows"])
@pytest.mark.parametrize("name", ["spmm", "gat_attention_edges"] if SLOW else list(CASES))
def test_gradients_of_gradients(backend, name, graph):
    case = CASES[name]
    shape = "H1C1" if SLOW else "H3C5"
    edge_index, size, inputs = make_inputs(case, graph, shape)
    if not SLOW:  # dense algebra has checked the first derivatives already
        assert gradcheck(
            lambda *values: case.run(edge_index, size, *values), inputs, fast_mode=True
        )
    assert gradgradcheck(
        lambda *values: case.run(edge_index, size, *values), inputs, fast_mode=True
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["spmm", "gat_attention_edges"] if SLOW else list(CASES))
def test_low_precision_sums_in_float32(backend, name, dtype):
    case = CASES[name]
    edge_index, size, inputs = make_inputs(case, "sorted" if SLOW else "hub", "H3C5", dtype)
    out = case.run(edge_index, size, *inputs)
    wide = [value.detach().double().requires_grad_() for value in inputs]
    expected = case.dense(edge_index, size, *wide)
    assert out.dtype == dtype
    limit = torch.finfo(dtype).eps * (100 if dtype == torch.float32 else 4)
    _assert_close_to_scale(out, expected, limit)
    weight = torch.randn_like(expected)
    grads = torch.autograd.grad((out.double() * weight).sum(), inputs)
    expected_grads = torch.autograd.grad((expected * weight).sum(), wide)
    for grad, other in zip(grads, expected_grads, strict=True):
        assert grad.dtype == dtype
        if name != "segment_max":
            _assert_close_to_scale(grad, other, 2 * limit)


def _assert_close_to_scale(found, expected, limit):
    error = (found.double() - expected).abs().max()
    assert error <= limit * expected.abs().max(), f"off by {error}"


@pytest.mark.parametrize("name", list(CASES))
def test_strided_inputs_mean_the_same(backend, name):
    case = CASES[name]
    edge_index, size, inputs = make_inputs(case, "bipartite", "H3C5")
    strided = [value.detach().t() if value.dim() == 2 else value.detach() for value in inputs]
    strided = [value.contiguous().t() if value.dim() == 2 else value for value in strided]
    strided = [
        value.transpose(0, 2).contiguous().transpose(0, 2) if value.dim() == 3 else value
        for value in strided
    ]
    wide_edges = edge_index.repeat_interleave(2, dim=1)[:, ::2]
    assert not wide_edges.is_contiguous()
    torch.testing.assert_close(
        case.run(wide_edges, size, *strided), case.run(edge_index, size, *inputs)
    )


@pytest.mark.parametrize("kind", ["list", "ndarray", "float"])
@pytest.mark.parametrize("name", [name for name in CASES if name != "self_attention"])
def test_what_is_no_tensor_is_refused_by_name(name, kind):
    """Every value in turn; of the ops people call, the one left out being the layers' own."""
    edge_index, size, inputs = make_inputs(CASES[name], "bipartite", "H3C5")
    inputs = [value.detach() for value in inputs]
    for place, value in enumerate(inputs):
        other = {"list": value.tolist(), "ndarray": value.numpy(), "float": 1.0}[kind]
        wrong = [*inputs[:place], other, *inputs[place + 1 :]]
        with pytest.raises(TypeError, match=rf"^\w+ must be a tensor, got {kind}$"):
            CASES[name].run(edge_index, size, *wrong)


@pytest.mark.parametrize(("row", "value"), [(0, -1), (0, 7), (1, -3), (1, 5)])
@pytest.mark.parametrize("name", list(CASES))
def test_a_wrong_index_is_refused_by_name(backend, name, row, value):
    case = CASES[name]
    edge_index, size, inputs = make_inputs(case, "bipartite", "H3C5")
    if name == "self_attention" and value == 5:
        value = 7  # both ends are among the same 7 nodes
    wrong = edge_index.clone()
    wrong[row, 2] = value
    only_targets = name.startswith("segment") or name in ("gather", "edge_softmax")
    if row == 0 and only_targets:
        torch.testing.assert_close(
            case.run(wrong, size, *inputs), case.run(edge_index, size, *inputs)
        )
        return
    whose = "index" if name.startswith("segment") or name == "gather" else rf"edge_index\[{row}\]"
    with pytest.raises(IndexError, match=rf"{whose} holds {value}\b"):
        case.run(wrong, size, *inputs)


def test_static_batch_is_the_loop_over_it(backend):
    edge_index, num_sources, num_targets = GRAPHS["bipartite"]
    batch, heads, width = (2, 2, 3) if SLOW else (130, 2, 3)
    x = torch.randn(batch, num_sources, heads, width, dtype=torch.float64)
    src = torch.randn(batch, num_sources, heads, dtype=torch.float64)
    dst = torch.randn(batch, num_targets, heads, dtype=torch.float64)
    weight = torch.randn(batch, edge_index.size(1), heads, dtype=torch.float64)
    calls = {
        "attention": (lambda *v: ops.gat_attention(edge_index, *v), (x, src, dst)),
        "spmm": (lambda w, v: ops.spmm(edge_index, w, v, num_targets), (weight, x)),
        "sddmm": (lambda a: ops.sddmm(edge_index, a, a[..., :num_targets, :, :]), (x,)),
        "softmax": (lambda w: ops.edge_softmax(edge_index, w, num_targets), (weight,)),
    }
    for call, values in calls.values():
        together = call(*values)
        for b in range(min(batch, 3)):
            torch.testing.assert_close(together[b], call(*(value[b] for value in values)))
    shared = weight[0].clone().requires_grad_()
    ops.spmm(edge_index, shared, x, num_targets).sum().backward()
    alone = weight[0].clone().requires_grad_()
    torch.stack([ops.spmm(edge_index, alone, v, num_targets) for v in x]).sum().backward()
    torch.testing.assert_close(shared.grad, alone.grad)


def test_dropout_is_the_same_in_every_backend_and_pass(backend):
    edge_index, num_sources, num_targets = GRAPHS["bipartite" if SLOW else "hub"]
    values = [
        torch.randn(num_sources, 2, 4, dtype=torch.float64),
        torch.randn(num_sources, 2, dtype=torch.float64),
        torch.randn(num_targets, 2, dtype=torch.float64),
    ]
    values = [value.requires_grad_() for value in values]
    results = []
    for name, return_weights in ((backend, False), (backend, True), ("reference", False)):
        torch.manual_seed(11)
        with ops.backend(name):
            out = ops.gat_attention(
                edge_index, *values, dropout=0.4, training=True, return_weights=return_weights
            )
            out = out[0] if return_weights else out
        results.append([out, *torch.autograd.grad(out.square().sum(), values)])
    for found, expected in zip(results[0] + results[1], results[2] * 2, strict=True):
        torch.testing.assert_close(found, expected)
    plain = ops.gat_attention(edge_index, *values, dropout=0.4, training=False)
    assert not torch.allclose(plain, results[0][0])


@pytest.mark.parametrize("layer", [True, False], ids=["one op", "scores apart"])
def test_second_derivatives_when_inputs_depend_on_each_other(layer):
    """Scores are made of the features: the backward pass must not hear that a second time."""
    edge_index, size, _ = GRAPHS["bipartite"]
    shapes = ((2, size, 2, 3), (1, 2, 3), (1, 2, 3))
    x, src, dst = (torch.randn(shape, dtype=torch.float64) for shape in shapes)

    def run(x: torch.Tensor, src: torch.Tensor, dst: torch.Tensor) -> torch.Tensor:
        x = x.tanh()
        if layer:
            return self_attention(edge_index, x, src * x.mean(), dst, 0.2, 0.0)
        return ops.gat_attention(edge_index, x, (x * src).sum(-1), (x * dst).sum(-1))

    inputs = [value.requires_grad_() for value in (x, src, dst)]
    # gradgradcheck asks whether derivatives fit each other, not whether the first one is right.
    for create_graph in (False, True):
        out = run(*inputs).square().sum()
        grads = torch.autograd.grad(out, inputs, create_graph=create_graph)
        with ops.backend("reference"):
            expected = torch.autograd.grad(run(*inputs).square().sum(), inputs)
        torch.testing.assert_close(grads, expected)
    assert gradgradcheck(run, inputs, fast_mode=True)
