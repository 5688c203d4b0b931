"""torch.compile, autocast, determinism and other machinery around the ops."""

from __future__ import annotations

import pytest
import torch
from torch_geometric import EdgeIndex

from graphkit import ops
from tests.ops.oracles import CASES, make_inputs


@pytest.mark.parametrize("name", list(CASES))
def test_compiles_in_one_graph_with_gradients(name):
    case = CASES[name]
    edge_index, size, inputs = make_inputs(case, "bipartite", "H3C5")
    torch._dynamo.reset()
    compiled = torch.compile(case.run, fullgraph=True, backend="aot_eager", dynamic=False)
    out, expected = compiled(edge_index, size, *inputs), case.run(edge_index, size, *inputs)
    torch.testing.assert_close(out, expected)
    grads = torch.autograd.grad(out.square().sum(), inputs)
    expected_grads = torch.autograd.grad(expected.square().sum(), inputs)
    for grad, other in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(grad, other)


@pytest.mark.parametrize("name", ["spmm", "sddmm", "segment_softmax", "gat_attention_edges"])
def test_custom_ops_keep_pytorchs_rules(name):
    from graphkit.ops.autograd import attention, softmax, sums

    edge_index, size, inputs = make_inputs(CASES[name], "bipartite", "H3C5")
    batched = [value.detach().unsqueeze(0).requires_grad_() for value in inputs]
    seed = torch.zeros(1, dtype=torch.int64)
    calls = {
        "spmm": (sums.spmm.library, (edge_index, *batched, size, False, "numba")),
        "sddmm": (sums.sddmm.library, (edge_index, *batched, "numba")),
        "segment_softmax": (
            softmax.softmax.library,
            (edge_index, 1, *batched, size, "numba"),
        ),
        "gat_attention_edges": (
            attention.gat_forward.library,
            (edge_index, *batched, seed, 0.2, 0.0, "numba"),
        ),
    }
    op, arguments = calls[name]
    results = torch.library.opcheck(
        op, arguments, test_utils=("test_schema", "test_autograd_registration", "test_faketensor")
    )
    assert set(results.values()) == {"SUCCESS"}


def test_a_compiled_layer_reuses_its_layout():
    from graphkit.ops.layout import rows

    edge_index, x = torch.randint(0, 9, (2, 30)), torch.randn(9, 4, requires_grad=True)
    torch._dynamo.reset()
    compiled = torch.compile(lambda e, v: ops.spmm(e, None, v), fullgraph=True, backend="aot_eager")
    compiled(edge_index, x).sum().backward()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "sort_rows", lambda *_: pytest.fail("sorted again"))
        compiled(edge_index, x).sum().backward()


def test_compiles_with_an_edge_index():
    edges = EdgeIndex([[0, 1, 2], [1, 1, 0]], sparse_size=(3, 3))
    torch._dynamo.reset()
    compiled = torch.compile(lambda e, v: ops.spmm(e, None, v), fullgraph=True, backend="aot_eager")
    x = torch.randn(3, 4)
    torch.testing.assert_close(compiled(edges, x), ops.spmm(edges, None, x))


def test_autocast_mixes_dtypes_as_products_do():
    edge_index = torch.tensor([[0, 1, 2], [1, 1, 0]])
    x, weight = torch.randn(3, 2, 4, requires_grad=True), torch.randn(3, 2, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        hidden = torch.nn.functional.linear(x, torch.eye(4))
        assert hidden.dtype == torch.bfloat16
        out = ops.spmm(edge_index, weight, hidden)
    assert out.dtype == torch.float32
    out.sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.float32


def test_deterministic_algorithms_give_equal_bits():
    edge_index, x = torch.randint(0, 50, (2, 4000)), torch.randn(50, 2, 8, requires_grad=True)
    torch.use_deterministic_algorithms(True)
    try:
        grads = []
        for _ in range(3):
            out = ops.gat_attention(edge_index, x, x.sum(-1), x.sum(-1))
            grads.append(torch.autograd.grad(out.square().sum(), x)[0])
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(grads[0], grads[1])
    assert torch.equal(grads[0], grads[2])


def test_third_derivatives_exist():
    edge_index = torch.tensor([[0, 1, 2, 2], [1, 1, 0, 1]])
    score = torch.randn(4, 1, dtype=torch.float64, requires_grad=True)
    value = ops.edge_softmax(edge_index, score, 3).pow(3).sum()
    for _ in range(3):
        (grad,) = torch.autograd.grad(value, score, create_graph=True)
        value = grad.pow(2).sum()
    assert torch.isfinite(value)
