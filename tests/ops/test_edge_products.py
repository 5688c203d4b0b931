import pytest
import torch

from graphkit import ops
from tests.ops.oracles import dense_sddmm

EDGES = torch.tensor([[5, 0, 1, 1, 2], [3, 0, 2, 1, 3]])


def ends(*shapes):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]


@pytest.mark.parametrize(
    ("left", "right", "out"),
    [
        ((6, 3), (4, 3), (5,)),
        ((6, 2, 3), (4, 2, 3), (5, 2)),
        ((6, 1, 3), (4, 1, 3), (5, 1)),
        ((2, 6, 3, 4), (2, 4, 3, 4), (2, 5, 3)),
        ((1, 6, 1, 2), (1, 4, 1, 2), (1, 5, 1)),
    ],
)
def test_products_in_every_shape(left, right, out):
    values = [value.requires_grad_() for value in ends(left, right)]
    found = ops.sddmm(EDGES, *values)
    assert tuple(found.shape) == out
    canonical = values
    if len(left) == 2:
        canonical = [v.unsqueeze(0).unsqueeze(2) for v in values]
    elif len(left) == 3:
        canonical = [v.unsqueeze(0) for v in values]
    pairs = zip(*canonical, strict=True)
    wanted = torch.stack([dense_sddmm(EDGES, *pair) for pair in pairs]).view(out)
    torch.testing.assert_close(found, wanted)
    toward = torch.arange(found.numel()).double().view(out)
    grads = [torch.autograd.grad(v, values, toward) for v in (found, wanted)]
    torch.testing.assert_close(*grads)


def test_ends_of_two_dtypes_meet_in_the_wider_one():
    left, right = ends((6, 3), (4, 3))
    for one, other in ((left.float(), right), (left, right.float())):
        found = ops.sddmm(EDGES, one, other)
        assert found.dtype == torch.float64
        torch.testing.assert_close(found, (one[EDGES[0]] * other[EDGES[1]]).sum(1))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((6, 3), (4, 2)),
        ((6, 3), (4, 1, 3)),
        ((6, 2, 3), (4, 1, 3)),
        ((6, 2, 3), (4, 2, 1)),
        ((2, 6, 3, 4), (1, 4, 3, 4)),
        ((2, 6, 3, 4), (2, 4, 3, 1)),
        ((2, 6, 3, 4), (2, 4, 1, 4)),
    ],
)
def test_ends_that_do_not_fit_are_refused(left, right):
    with pytest.raises(ValueError, match=r"x_src \[.*\] and x_dst \[.*\] must agree but for"):
        ops.sddmm(EDGES, torch.ones(left), torch.ones(right))


def test_other_mistakes_are_named():
    right = torch.ones(6, 3)
    for name in ("x_src", "x_dst"):
        for wrong in (torch.ones(6), torch.ones(1, 1, 6, 1, 3)):
            with pytest.raises(ValueError, match=f"{name} must have 2 or 3 or 4 dimensions"):
                ops.sddmm(EDGES, **{"x_src": right, "x_dst": right, name: wrong})
        with pytest.raises(TypeError, match=f"{name} must be floating point"):
            ops.sddmm(EDGES, **{"x_src": right, "x_dst": right, name: right.long()})
