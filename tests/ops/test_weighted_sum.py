import pytest
import torch

from graphkit import ops
from tests.ops.oracles import dense_spmm

EDGES = torch.tensor([[3, 0, 1, 1, 2], [3, 0, 2, 1, 3]])
NODES, COUNT = 4, 5


def numbers(*shape):
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("name", ["numba", "torch", "reference"])
@pytest.mark.parametrize("count", [None, COUNT, 4])
@pytest.mark.parametrize(
    ("weight", "x", "out"),
    [
        *((None, (3,), (3,)), (None, (2, 3), (2, 3)), (None, (-2, 2, 3), (-2, 2, 3))),
        *(((), (3,), (3,)), ((), (2, 3), (2, 3)), ((), (-2, 2, 3), (-2, 2, 3))),
        *(((1,), (3,), (3,)), ((2,), (3,), (2, 3)), ((2,), (1, 3), (2, 3))),
        *(((2,), (2, 3), (2, 3)), ((1,), (2, 3), (2, 3)), ((2,), (-2, 1, 3), (-2, 2, 3))),
        *(((2,), (-2, 2, 3), (-2, 2, 3)), ((-2, 2), (-2, 2, 3), (-2, 2, 3))),
        *(((-2, 1), (-2, 2, 3), (-2, 2, 3)), ((-2, 2), (-2, 1, 3), (-2, 2, 3))),
    ],
)
def test_weights_and_features_of_every_shape(weight, x, out, count, name):
    """A leading -2 stands for a batch of two."""

    def shaped(rest, rows):
        return (2, rows, *rest[1:]) if rest[:1] == (-2,) else (rows, *rest)

    x, out = numbers(*shaped(x, NODES)), shaped(out, count or NODES)
    weight = None if weight is None else numbers(*shaped(weight, EDGES.size(1)))
    with ops.backend(name):
        found = ops.spmm(EDGES, weight, x, count)
    assert tuple(found.shape) == out
    features = x.unsqueeze(1) if x.dim() == 2 else x
    batched = x.dim() == 4
    wanted = []
    for b in range(2 if batched else 1):
        own = None if weight is None else weight[b] if weight.dim() == 3 else weight
        own = own.view(5, -1) if own is not None else None
        value = features[b] if batched else features
        heads = max(value.size(1), 1 if own is None else own.size(1))
        wanted.append(dense_spmm(EDGES, own, value.expand(-1, heads, -1), count or NODES))
    wanted = torch.stack(wanted).view(out)
    torch.testing.assert_close(found, wanted)
    leaves = [x] if weight is None else [x, weight]
    toward = torch.arange(1.0, found.numel() + 1).double().view(out)
    grads = [torch.autograd.grad(v, leaves, toward) for v in (found, wanted)]
    torch.testing.assert_close(*grads)


def test_dtypes_meet_in_the_wider_one():
    weight, x = numbers(5).detach(), numbers(4, 3).detach()
    for w, v in ((weight.float(), x), (weight, x.float())):
        found = ops.spmm(EDGES, w, v)
        assert found.dtype == torch.float64
        messages = w.double().unsqueeze(1) * v.double()[EDGES[0]]
        torch.testing.assert_close(found, torch.zeros_like(x).index_add(0, EDGES[1], messages))


def test_features_without_columns():
    assert ops.spmm(EDGES, None, torch.ones(4, 0)).shape == (4, 0)
    assert ops.spmm(EDGES, torch.ones(5, 2), torch.ones(4, 2, 0), 7).shape == (7, 2, 0)


REFUSED = {
    r"edge_weight \[2, 5, 2\] is batched, so x must be \[B, N, H, C\].*got \[4, 2, 3\]": (
        torch.ones(2, 5, 2),
        torch.ones(4, 2, 3),
    ),
    r"is batched.*got \[3, 4, 2, 3\]": (torch.ones(2, 5, 2), torch.ones(3, 4, 2, 3)),
    r"edge_weight has 3 heads \[5, 3\], but x has 2 \[4, 2, 3\]": (
        torch.ones(5, 3),
        torch.ones(4, 2, 3),
    ),
    r"edge_weight has 4 entries in dimension -1, but there are 5 edges": (
        torch.ones(4),
        torch.ones(4, 3),
    ),
    r"edge_weight has 4 entries in dimension -2": (torch.ones(4, 5), torch.ones(4, 3)),
    r"edge_weight must have 1 or 2 or 3 dimensions": (torch.ones(1, 1, 5, 1), torch.ones(4, 3)),
    r"x must have 2 or 3 or 4 dimensions": (None, torch.ones(4)),
    r"x must have 2 or 3 or 4 dimensions, got shape \[1, 1, 4": (None, torch.ones(1, 1, 4, 1, 3)),
}


@pytest.mark.parametrize("words", list(REFUSED))
def test_what_does_not_fit_is_refused_by_name(words):
    with pytest.raises(ValueError, match=words):
        ops.spmm(EDGES, *REFUSED[words])


def test_counts_and_dtypes_are_looked_at():
    with pytest.raises(ValueError, match="num_nodes must not be negative, got -1"):
        ops.spmm(EDGES, None, torch.ones(4, 3), -1)
    with pytest.raises(TypeError, match="edge_weight must be floating point"):
        ops.spmm(EDGES, EDGES[0], torch.ones(4, 3))
    with pytest.raises(IndexError, match=r"edge_index\[1\] holds 3"):
        ops.spmm(EDGES, None, torch.ones(4, 3), 3)
