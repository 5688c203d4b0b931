import pytest
import torch
from torch.nn import functional as F

from graphkit import ops
from graphkit.ops.attention import self_attention
from tests.ops.oracles import dense_attention, dense_softmax

EDGES = torch.tensor([[3, 0, 1, 1, 2, 2], [1, 0, 1, 2, 1, 2]])
SOURCES, TARGETS, HEADS = 4, 3, 2


def operands(batch=(), edges=False, kind=torch.float64):
    generator = torch.Generator().manual_seed(0)
    shapes = [(SOURCES, HEADS, 5), (SOURCES, HEADS), (TARGETS, HEADS)]
    shapes += [(6, HEADS)] if edges else []
    return [
        torch.randn(*batch, *s, generator=generator, dtype=torch.float64).to(kind) for s in shapes
    ]


def called(values, **options):
    named = {"score_edge": values[3]} if len(values) > 3 else {}
    return ops.gat_attention(EDGES, *values[:3], **named, **options)


@pytest.mark.parametrize("edges", [False, True])
@pytest.mark.parametrize("batch", [(), (3,)])
def test_sums_and_weights_with_and_without_a_batch(batch, edges):
    values = operands(batch, edges)
    out, weight = called(values, return_weights=True)
    assert torch.equal(called(values), called(values, dropout=0.7))
    torch.testing.assert_close(out, called(values))
    assert tuple(weight.shape) == (*batch, 6, HEADS)
    for b in range(3 if batch else 1):
        own = [value[b] for value in values] if batch else values
        score = own[1][EDGES[0]] + own[2][EDGES[1]] + (own[3] if edges else 0)
        wanted = dense_softmax(EDGES[1], F.leaky_relu(score, 0.2), TARGETS)
        torch.testing.assert_close(weight[b] if batch else weight, wanted)
        torch.testing.assert_close(out[b] if batch else out, dense_attention(EDGES, *own))


def test_the_slope_is_used():
    values = operands()
    _, weight = called(values, negative_slope=1.0, return_weights=True)
    score = values[1][EDGES[0]] + values[2][EDGES[1]]
    torch.testing.assert_close(weight, dense_softmax(EDGES[1], score, TARGETS))


def test_dropout_only_in_training_with_one_seed_for_a_call():
    values = operands(kind=torch.float32)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    plain = called(values, dropout=0.5)
    called(values, dropout=0.0, training=True)
    assert torch.equal(torch.get_rng_state(), state)
    out, weight = called(values, dropout=0.5, training=True, return_weights=True)
    torch.set_rng_state(state)
    torch.testing.assert_close(called(values, dropout=0.5, training=True), out)
    _, before = called(values, return_weights=True)
    ratio = weight / before
    assert sorted(ratio.round(decimals=3).unique().tolist()) == [0, 2]
    assert not torch.allclose(out, plain)
    assert (called(values, dropout=1.0, training=True) == 0).all()


@pytest.mark.parametrize("place", range(4))
def test_dtypes_meet_in_the_widest(place):
    values = operands(edges=True, kind=torch.float32)
    wanted = called([value.double() for value in values])
    assert called(values).dtype == torch.float32
    values[place] = values[place].double()
    found = called(values)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, wanted)


REFUSED = {
    r"score_src must have shape \[4, 2\] to fit x \[4, 2, 5\] and 6 edges, got \[3, 2\]": {
        1: torch.ones(3, 2)
    },
    r"score_src must have shape \[4, 2\].*got \[4, 1\]": {1: torch.ones(4, 1)},
    r"score_dst must have shape \[3, 2\].*got \[3, 1\]": {2: torch.ones(3, 1)},
    r"score_edge must have shape \[6, 2\].*got \[5, 2\]": {3: torch.ones(5, 2)},
    r"score_edge must have shape \[6, 2\].*got \[6, 3\]": {3: torch.ones(6, 3)},
    "score_src must have 2 dimensions": {1: torch.ones(1, 4, 2)},
    "score_dst must have 2 dimensions": {2: torch.ones(3)},
    "score_edge must have 2 dimensions": {3: torch.ones(6)},
    "x must have 3 or 4 dimensions": {0: torch.ones(4, 2)},
    "score_src is on meta": {1: torch.ones(4, 2, device="meta")},
    "x is on meta": {0: torch.ones(4, 2, 5, device="meta")},
}


@pytest.mark.parametrize("words", list(REFUSED))
def test_what_does_not_fit_is_refused_by_name(words):
    values = operands(edges=True)
    for place, wrong in REFUSED[words].items():
        values[place] = wrong
    with pytest.raises(ValueError, match=words):
        called(values)


def test_a_batch_fits_in_all_or_in_nothing():
    for place in (1, 2, 3):
        values = operands((3,), True)
        values[place] = values[place][:2]
        with pytest.raises(ValueError, match="to fit x"):
            called(values)


@pytest.mark.parametrize(
    ("place", "name"), list(enumerate(("x", "score_src", "score_dst", "score_edge")))
)
def test_numbers_that_are_none_are_refused_by_name(place, name):
    values = operands(edges=True)
    values[place] = values[place].long()
    with pytest.raises(TypeError, match=f"{name} must be floating point"):
        called(values)


@pytest.mark.parametrize("dropout", [-0.1, 1.1])
def test_a_probability_is_one(dropout):
    with pytest.raises(ValueError, match=f"dropout must be a probability, got {dropout}"):
        called(operands(), dropout=dropout)
    x, vector = torch.ones(4, 2, 5), torch.ones(1, 2, 5)
    with pytest.raises(ValueError, match=f"dropout must be a probability, got {dropout}"):
        self_attention(EDGES, x, vector, vector, 0.2, dropout)


@pytest.mark.parametrize("batch", [(), (2,)])
@pytest.mark.parametrize("kind", [torch.float32, torch.float16])
def test_nodes_that_attend_to_each_other(kind, batch):
    """Vectors come in the dtype of the layer, sums in that of the features."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(*batch, 4, 2, 5, generator=generator).to(kind).requires_grad_()
    src, dst = (torch.randn(1, 2, 5, generator=generator) for _ in range(2))
    out = self_attention(EDGES, x, src, dst, 0.2, 0.0)
    assert out.dtype == kind
    assert out.shape == x.shape
    limit = 1e-5 if kind == torch.float32 else 5e-3
    for own, value in zip(out if batch else [out], x if batch else [x], strict=True):
        wide = value.double()
        ends = [(wide * vector.to(kind).double()).sum(-1) for vector in (src, dst)]
        wanted = dense_attention(EDGES, wide, *ends)
        torch.testing.assert_close(own.double(), wanted, rtol=limit, atol=limit)
    state = torch.get_rng_state()
    self_attention(EDGES, x, src, dst, 0.2, 0.0)
    assert torch.equal(torch.get_rng_state(), state)
    first, second = (self_attention(EDGES, x, src, dst, 0.2, 0.6) for _ in range(2))
    assert not torch.equal(first, second)
    assert (self_attention(EDGES, x, src, dst, 0.2, 1.0) == 0).all()
