import pytest
import torch

from graphkit import ops
from tests.ops.oracles import dense_dot, dense_softmax

EDGES = torch.tensor([[3, 0, 1, 1, 2, 2], [1, 0, 1, 2, 1, 2]])
SOURCES, TARGETS, HEADS, WIDTH = 4, 3, 2, 5


def operands(batch=(), edges=True, kind=torch.float64, wide=WIDTH):
    generator = torch.Generator().manual_seed(0)
    shapes = [(*batch, TARGETS, HEADS, WIDTH), (*batch, SOURCES, HEADS, WIDTH)]
    shapes += [(*batch, SOURCES, HEADS, wide)]
    shapes += [(6, 3), (HEADS * WIDTH, 3)] if edges else []
    return [torch.randn(s, generator=generator, dtype=torch.float64).to(kind) for s in shapes]


def called(values, **options):
    named = dict(zip(("edge_attr", "lin_edge"), values[3:], strict=False))
    return ops.dot_attention(EDGES, *values[:3], **named, **options)


@pytest.mark.parametrize(("edges", "wide"), [(False, 7), (True, WIDTH)])
@pytest.mark.parametrize("batch", [(), (3,)])
def test_sums_and_weights_with_and_without_a_batch(batch, edges, wide):
    values = operands(batch, edges, wide=wide)
    out, weight = called(values, return_weights=True)
    torch.testing.assert_close(out, called(values))
    assert tuple(weight.shape) == (*batch, 6, HEADS)
    assert tuple(called(values).shape) == (*batch, TARGETS, HEADS, wide)
    for b in range(3 if batch else 1):
        own = [*(v[b] if batch else v for v in values[:3]), *values[3:]]
        torch.testing.assert_close(out[b] if batch else out, dense_dot(EDGES, *own))
        key = own[1][EDGES[0]]
        key = key + (own[3] @ own[4].t()).view_as(key) if edges else key
        score = (own[0][EDGES[1]] * key).sum(-1) / WIDTH**0.5
        found = weight[b] if batch else weight
        torch.testing.assert_close(found, dense_softmax(EDGES[1], score, TARGETS))


def test_a_scale_that_is_given_is_used():
    values = operands()
    torch.testing.assert_close(called(values, scale=WIDTH**-0.5), called(values))
    _, flat = called(values, scale=0.0, return_weights=True)
    counts = EDGES[1].bincount()[EDGES[1]]
    torch.testing.assert_close(flat, (1 / counts.double()).unsqueeze(1).expand(-1, HEADS))
    scaled = called([2 * values[0], *values[1:]], scale=0.5)
    torch.testing.assert_close(scaled, called(values, scale=1.0))


def test_queries_without_channels_give_means():
    empty = torch.ones(TARGETS, 1, 0), torch.ones(SOURCES, 1, 0)
    value = torch.arange(4.0).view(4, 1, 1)
    found = ops.dot_attention(EDGES, *empty, value)
    torch.testing.assert_close(found.view(-1), torch.tensor([0.0, 2.0, 1.5]))


def test_weights_come_before_dropout_and_only_training_drops():
    values = operands()
    state = torch.get_rng_state()
    plain = called(values, dropout=0.9)
    assert torch.equal(plain, called(values))
    called(values, training=True)
    assert torch.equal(torch.get_rng_state(), state)
    out, weight = called(values, dropout=0.5, training=True, return_weights=True)
    torch.set_rng_state(state)
    torch.testing.assert_close(called(values, dropout=0.5, training=True), out)
    torch.testing.assert_close(weight, called(values, return_weights=True)[1])
    assert not torch.allclose(out, plain)
    assert (called(values, dropout=1.0, training=True) == 0).all()


@pytest.mark.parametrize("place", range(5))
def test_dtypes_meet_in_the_widest(place):
    values = operands(kind=torch.float32)
    wanted = called([value.double() for value in values])
    assert called(values).dtype == torch.float32
    values[place] = values[place].double()
    assert called(values).dtype == torch.float64
    torch.testing.assert_close(called(values), wanted)


@pytest.mark.parametrize("alone", range(5))
def test_second_derivatives_of_one_operand_alone(alone):
    """The sums of edge features do not hang on values, so they have no gradient for them."""
    values = operands()
    values[alone].requires_grad_()
    (plain,) = torch.autograd.grad(called(values).square().sum(), values[alone])
    (grad,) = torch.autograd.grad(called(values).square().sum(), values[alone], create_graph=True)
    torch.testing.assert_close(grad, plain)
    (second,) = torch.autograd.grad(grad.square().sum(), values[alone])
    wanted = dense_dot(EDGES, *values).square().sum()
    (grad,) = torch.autograd.grad(wanted, values[alone], create_graph=True)
    torch.testing.assert_close(second, torch.autograd.grad(grad.square().sum(), values[alone])[0])


def test_what_does_not_fit_is_refused_by_name():
    for place, wrong, words in (
        (0, torch.ones(3, 5), "query must have 3 or 4 dimensions"),
        (1, torch.ones(4, 2, 4), r"query \[3, 2, 5\] and key \[4, 2, 4\] must agree"),
        (2, torch.ones(3, 2, 5), r"key \[4, 2, 5\] and value \[3, 2, 5\] must agree but for"),
        (2, torch.ones(4, 1, 5), "must agree but for the channels"),
        (2, torch.ones(1, 4, 2, 5), "value must have 3 dimensions"),
        (2, torch.ones(4, 2, 6), r"value must have the shape of key \[4, 2, 5\] where edge_attr"),
        (2, torch.ones(4, 2, 5, device="meta"), "value is on meta"),
        (3, torch.ones(5, 3), "edge_attr has 5 entries"),
        (4, torch.ones(10, 4), r"lin_edge must have shape \[10, 3\]"),
    ):
        values = operands()
        values[place] = wrong
        with pytest.raises(ValueError, match=words):
            called(values)
    with pytest.raises(ValueError, match=r"dropout must be a probability, got -0\.5"):
        called(operands(), dropout=-0.5)
    with pytest.raises(ValueError, match="lin_edge was given without edge_attr"):
        ops.dot_attention(EDGES, *operands()[:3], lin_edge=torch.ones(10, 3))
