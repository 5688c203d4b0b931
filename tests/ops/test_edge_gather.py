import pytest
import torch

from graphkit import ops

INDEX = torch.tensor([2, 0, 2, 1])


@pytest.mark.parametrize("shape", [(3,), (3, 2), (3, 2, 4), (3, 0)])
def test_copies_and_their_gradient(shape):
    x = torch.arange(float(torch.Size(shape).numel())).view(shape).requires_grad_()
    out = ops.gather(x, INDEX)
    assert torch.equal(out, x.detach()[INDEX])
    if x.numel():
        (grad,) = torch.autograd.grad(out, x, out.detach() + 1)
        wanted = torch.zeros_like(x).index_add(0, INDEX, out.detach() + 1)
        torch.testing.assert_close(grad, wanted)


def test_what_does_not_fit_is_refused_by_name():
    for wrong, kind, words in (
        (torch.ones(2), IndexError, r"index holds 2, but only 0\.\.1"),
        (torch.tensor(1.0), ValueError, "x must have at least one dimension"),
        (torch.ones(3).long(), TypeError, "x must be floating point"),
    ):
        with pytest.raises(kind, match=words):
            ops.gather(wrong, INDEX)
    with pytest.raises(ValueError, match=r"index must have shape \[E\]"):
        ops.gather(torch.ones(3), INDEX.view(2, 2))
    assert ops.gather(torch.ones(3), INDEX[:0]).shape == (0,)
