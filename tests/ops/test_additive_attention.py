import pytest
import torch
from torch.nn import functional as F

from graphkit import ops
from tests.ops.oracles import dense_gatv2, dense_softmax

EDGES = torch.tensor([[3, 0, 1, 1, 2, 2], [1, 0, 1, 2, 1, 2]])
SOURCES, TARGETS, HEADS, WIDTH = 4, 3, 2, 5


def operands(batch=(), edges=True, kind=torch.float64):
    generator = torch.Generator().manual_seed(0)
    shapes = [(*batch, SOURCES, HEADS, WIDTH), (*batch, TARGETS, HEADS, WIDTH), (HEADS, WIDTH)]
    shapes += [(6, 3), (HEADS * WIDTH, 3)] if edges else []
    return [torch.randn(s, generator=generator, dtype=torch.float64).to(kind) for s in shapes]


def called(values, **options):
    named = dict(zip(("edge_attr", "lin_edge"), values[3:], strict=False))
    return ops.gatv2_attention(EDGES, *values[:3], **named, **options)


@pytest.mark.parametrize("edges", [False, True])
@pytest.mark.parametrize("batch", [(), (3,)])
def test_sums_and_weights_with_and_without_a_batch(batch, edges):
    values = operands(batch, edges)
    out, weight = called(values, return_weights=True)
    torch.testing.assert_close(out, called(values))
    assert tuple(weight.shape) == (*batch, 6, HEADS)
    assert tuple(called(values).shape) == (*batch, TARGETS, HEADS, WIDTH)
    for b in range(3 if batch else 1):
        own = [*(v[b] if batch else v for v in values[:2]), *values[2:]]
        torch.testing.assert_close(out[b] if batch else out, dense_gatv2(EDGES, *own))
        met = own[0][EDGES[0]] + own[1][EDGES[1]]
        met = met + (own[3] @ own[4].t()).view_as(met) if edges else met
        score = (F.leaky_relu(met, 0.2) * own[2]).sum(-1)
        found = weight[b] if batch else weight
        torch.testing.assert_close(found, dense_softmax(EDGES[1], score, TARGETS))


def test_the_slope_is_used():
    values = operands()
    steep, usual = (called(values, negative_slope=slope) for slope in (1.0, 0.2))
    met = values[0][EDGES[0]] + values[1][EDGES[1]]
    met = met + (values[3] @ values[4].t()).view_as(met)
    weight = dense_softmax(EDGES[1], (met * values[2]).sum(-1), TARGETS)
    messages = weight.unsqueeze(-1) * values[0][EDGES[0]]
    wanted = torch.zeros_like(values[1]).index_add(0, EDGES[1], messages)
    torch.testing.assert_close(steep, wanted)
    torch.testing.assert_close(usual, called(values))


def test_dropout_only_in_training():
    values = operands()
    state = torch.get_rng_state()
    assert torch.equal(called(values, dropout=0.9), called(values))
    called(values, training=True)
    assert torch.equal(torch.get_rng_state(), state)
    out, weight = called(values, dropout=0.5, training=True, return_weights=True)
    torch.set_rng_state(state)
    torch.testing.assert_close(called(values, dropout=0.5, training=True), out)
    ratio = weight / called(values, return_weights=True)[1]
    assert sorted(ratio.round(decimals=6).unique().tolist()) == [0, 2]
    assert (called(values, dropout=1.0, training=True) == 0).all()


@pytest.mark.parametrize("place", range(5))
def test_dtypes_meet_in_the_widest(place):
    values = operands(kind=torch.float32)
    wanted = called([value.double() for value in values])
    assert called(values).dtype == torch.float32
    values[place] = values[place].double()
    assert called(values).dtype == torch.float64
    torch.testing.assert_close(called(values), wanted)


def test_what_does_not_fit_is_refused_by_name():
    for place, wrong, words in (
        (0, torch.ones(4, 5), "x_src must have 3 or 4 dimensions"),
        (1, torch.ones(3, 1, 5), r"x_src \[4, 2, 5\] and x_dst \[3, 1, 5\] must agree"),
        (2, torch.ones(5, 2), r"att must have shape \[2, 5\] to fit x_src \[4, 2, 5\]"),
        (3, torch.ones(5, 3), "edge_attr has 5 entries"),
        (4, torch.ones(10, 4), r"lin_edge must have shape \[10, 3\]"),
    ):
        values = operands()
        values[place] = wrong
        with pytest.raises(ValueError, match=words):
            called(values)
    with pytest.raises(ValueError, match=r"dropout must be a probability, got 1\.5"):
        called(operands(), dropout=1.5)
