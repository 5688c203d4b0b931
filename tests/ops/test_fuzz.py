"""Random graphs, shapes and values, on every CPU backend."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphkit import ops
from tests.ops.oracles import CASES

BACKENDS = ["reference", "numba", "torch"]


@st.composite
def problems(draw):
    num_sources, num_targets = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    edges = draw(
        st.lists(
            st.tuples(st.integers(0, num_sources - 1), st.integers(0, num_targets - 1)), max_size=60
        )
    )
    if draw(st.booleans()):
        edges = edges + [(source, 0) for source, _ in edges] * 30
    edge_index = torch.tensor(edges, dtype=torch.long).reshape(-1, 2).t()
    edge_index = edge_index.contiguous() if draw(st.booleans()) else edge_index
    shape = (draw(st.integers(1, 9)), draw(st.integers(1, 35)))
    scale = draw(st.sampled_from([1.0, 30.0]))
    return edge_index, num_sources, num_targets, shape, scale, draw(st.integers(0, 99))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(problem=problems(), name=st.sampled_from(sorted(CASES)), name_of=st.sampled_from(BACKENDS))
def test_any_problem_equals_dense_algebra(problem, name, name_of):
    assert_dense(problem, name, name_of)


@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.parametrize("shape", [(8, 24), (4, 48)], ids=str)
def test_heads_that_end_within_a_tile_equal_dense_algebra(name, shape):
    """Kernels take 64 columns at once, and heads of these widths do not fill them."""
    edge_index = torch.randint(9, (2, 40), generator=torch.Generator().manual_seed(0))
    assert_dense((edge_index, 9, 9, shape, 1.0, 0), name, "numba")


def assert_dense(problem, name, name_of):
    """Values and gradients are those of dense algebra."""
    edge_index, num_sources, num_targets, shape, scale, seed = problem
    case = CASES[name]
    generator = torch.Generator().manual_seed(seed)
    shapes = case.shapes(edge_index.size(1), num_sources, num_targets, *shape)
    inputs = [
        (scale * torch.randn(s, generator=generator, dtype=torch.float64)).requires_grad_()
        for s in shapes
    ]
    with ops.backend(name_of):
        out = case.run(edge_index, num_targets, *inputs)
    expected = case.dense(edge_index, num_targets, *inputs)
    torch.testing.assert_close(out, expected, rtol=1e-7, atol=1e-9)
    found = torch.autograd.grad(out.sum(), inputs)
    wanted = torch.autograd.grad(expected.sum(), inputs)
    for grad, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(grad, other, rtol=1e-7, atol=1e-7 * scale**2)
