"""The definition itself against dense algebra, and where it says what nothing means."""

from __future__ import annotations

import math

import pytest
import torch

from graphkit import ops
from graphkit.ops import reference
from graphkit.ops.dropout import keep_scale
from graphkit.ops.layout.rows import Rows, graph_of
from tests.ops.compared import DOUBLE, FLOAT, SOURCES, TARGETS, assert_dense, cut_graph
from tests.ops.oracles import CASES, dense_attention, incidence

EDGES = cut_graph()[:, :60]


@pytest.mark.parametrize("name", [name for name in CASES if name != "gather"])
@pytest.mark.parametrize(("dtype", "batch"), [(DOUBLE, 0), (DOUBLE, 2), (FLOAT, 0)])
def test_equals_dense_algebra(name, dtype, batch):
    if name.startswith("segment"):
        batch = 0
    with ops.backend("reference"):
        assert_dense(name, (3, 5), dtype, batch=batch, edges=EDGES)


def numbers(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def test_the_first_of_equal_entries_and_nan():
    rows = Rows(torch.tensor([0, 0, 0, 2, 2, 3]), 4)
    x = torch.tensor([-1.0, -1, -2, 5, math.nan, -math.inf]).view(1, 6, 1)
    value, arg = reference.segment_max(rows, x)
    assert arg.view(-1).tolist() == [0, 6, 4, 5]
    assert value[0, :2, 0].tolist() == [-1, 0]
    assert math.isnan(value[0, 2, 0])
    assert value[0, 3, 0] == -math.inf


def test_logarithms_of_nothing_and_of_nan():
    rows = Rows(torch.tensor([0, 0, 2, 3, 3]), 5)
    x = torch.tensor([1.0, 2.0, -math.inf, math.nan, 0.0]).view(1, 5, 1)
    found = reference.segment_lse(rows, x).view(-1)
    torch.testing.assert_close(found[0], torch.tensor([1.0, 2.0]).logsumexp(0))
    assert found[[1, 2, 4]].tolist() == [-math.inf] * 3
    assert math.isnan(found[3])
    shares = reference.softmax(rows, x).view(-1)
    assert shares[2] == 0
    assert shares[3:].isnan().all()


def test_peaks_and_sums_below_them():
    rows = Rows(torch.tensor([0, 0, 2]), 3)
    score = torch.tensor([-3.0, -4.0, math.inf]).view(1, 3, 1)
    peak, exponential, total = reference.exponentials(rows, score)
    assert peak.view(-1).tolist() == [-3, 0, 0]
    torch.testing.assert_close(total.view(-1)[:2], torch.tensor([1 + math.exp(-1), 0]))
    assert exponential.view(-1)[2] == math.inf


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_low_precision_is_summed_in_single(kind):
    rows = Rows(torch.zeros(3001, dtype=torch.long), 1)
    ones = torch.ones(1, 3001, 1, dtype=kind)
    wanted = torch.tensor(3001.0).to(kind)
    assert reference.segment_sum(rows, ones).item() == wanted
    graph = graph_of(torch.zeros(2, 1, dtype=torch.long), 1, 1)
    wide = torch.ones(1, 1, 1, 3001, dtype=kind)
    assert reference.sddmm(graph, wide, wide).item() == wanted
    grad = reference.softmax_backward(rows, ones, ones)
    assert grad.dtype == reference.softmax(rows, ones).dtype == kind
    scores = reference.end_scores(wide, wide[0], wide[0])
    assert [score.item() for score in scores] == [3001, 3001]
    back = reference.end_scores_backward(
        wide, wide[0], wide[0], scores[0], scores[1], torch.zeros_like(wide)
    )
    assert {value.dtype for value in back} == {kind}


def test_gradients_of_the_scores_of_both_ends():
    x, src, dst, before = (numbers(*s) for s in ((2, 4, 3, 2), (1, 3, 2), (1, 3, 2), (2, 4, 3, 2)))
    leaves = [value.requires_grad_() for value in (x, src, dst)]
    scores = reference.end_scores(*leaves)
    for score, vector in zip(scores, (src, dst), strict=True):
        torch.testing.assert_close(score, (x * vector).sum(-1))
    grads = numbers(2, 4, 3), numbers(2, 4, 3) + 1
    wanted = torch.autograd.grad(scores, leaves, grads)
    with torch.no_grad():
        found = reference.end_scores_backward(*leaves, *grads, before)
    torch.testing.assert_close(found[0], before + wanted[0])
    torch.testing.assert_close(found[1:], wanted[1:])


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("edge", [False, True])
def test_attention_backward_is_its_derivative(edge, dropout):
    graph, seed = graph_of(EDGES, SOURCES, TARGETS), torch.tensor([5])
    shapes = [(2, SOURCES, 3, 2), (2, SOURCES, 3), (2, TARGETS, 3), (2, 60, 3)]
    leaves = [numbers(*shape).requires_grad_() for shape in (shapes if edge else shapes[:3])]
    given = leaves if edge else [*leaves, None]
    out, statistics = reference.gat_forward(graph, *given, seed, 0.2, dropout)
    if not dropout:
        for b in range(2):
            wanted = dense_attention(EDGES, *(leaf[b] for leaf in leaves))
            torch.testing.assert_close(out[b], wanted)
    grad = numbers(*out.shape)
    wanted = torch.autograd.grad(out, leaves, grad)
    with torch.no_grad():
        settings = (seed, 0.2, dropout)
        found = reference.gat_backward(graph, *given, out, statistics, grad, *settings)
    torch.testing.assert_close(found[: len(leaves)], wanted)
    assert tuple(found[3].shape) == (2, 60 if edge else 0, 3)


def test_dropped_weights_are_those_of_the_mask():
    nodes = torch.arange(50)
    graph, seed = graph_of(torch.stack([nodes, nodes.flip(0)]), 50, 50), torch.tensor([5])
    ones = torch.ones(1, 50, 2)
    out, _ = reference.gat_forward(graph, torch.ones(1, 50, 2, 1), ones, ones, None, seed, 0.2, 0.3)
    torch.testing.assert_close(out[..., 0], keep_scale(seed, ones, 0.3).flip(1))


def test_what_edges_add_to_both_attentions():
    source, target = EDGES
    query, weight, attr = numbers(2, TARGETS, 3, 4), numbers(2, 60, 3), numbers(2, 60, 4)
    into = incidence(target, TARGETS)
    torch.testing.assert_close(
        reference.edge_dot(target, query, attr),
        torch.einsum("me,bmhd,bed->beh", into, query, attr),
    )
    torch.testing.assert_close(
        reference.edge_sum(target, weight, attr, TARGETS),
        torch.einsum("me,beh,bed->bmhd", into, weight, attr),
    )
    torch.testing.assert_close(
        reference.edge_mix(target, weight, query),
        torch.einsum("me,beh,bmhd->bed", into, weight, query),
    )
    x_src, x_dst, lin = numbers(2, SOURCES, 3, 2), numbers(2, TARGETS, 3, 2), numbers(4, 3, 2)
    met = x_src[:, source] + x_dst[:, target] + torch.einsum("bed,dhc->behc", attr, lin)
    found = reference.gatv2_sum(source, target, x_src, x_dst, attr, lin)
    torch.testing.assert_close(found, met)
    att = numbers(3, 2)
    score = reference.gatv2_score(source, target, x_src, x_dst, att, attr, lin, 0.3)
    torch.testing.assert_close(score, (torch.where(met > 0, met, 0.3 * met) * att).sum(-1))
    none = reference.gatv2_sum(source, target, x_src, x_dst, attr[..., :0], lin[:0])
    torch.testing.assert_close(none, x_src[:, source] + x_dst[:, target])
    half = [v.half() for v in (query, weight, attr)]
    assert reference.edge_dot(target, half[0], half[2]).dtype == torch.float32
    assert reference.edge_sum(target, *half[1:], TARGETS).dtype == torch.float32
    assert reference.edge_mix(target, half[1], half[0]).dtype == torch.float32
