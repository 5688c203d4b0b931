"""How PyTorch looks at a call."""

import pytest
import torch
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode

from graphkit.ops import situation

X = torch.ones(3)


class Recorder(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))


class Meaningful(torch.Tensor):
    """A subclass of another meaning."""


def inside(question):
    """What a question says within a transform."""
    said = []
    torch.func.vmap(lambda x: said.append(question(x)) or x)(X.view(1, 3))
    return said[0]


def test_transforms_and_tangents():
    assert not situation.in_torch_func()
    assert not situation.is_transformed([X, None])
    assert inside(lambda x: situation.in_torch_func())
    assert inside(lambda x: situation.is_transformed([]))
    with forward_ad.dual_level():
        assert not situation.is_transformed([X, None])
        dual = forward_ad.make_dual(X, X)
        assert situation.is_transformed([X, None, dual])


def test_plain_values_have_memory_that_nobody_watches():
    assert situation.is_plain([])
    assert situation.is_plain([X, None, torch.nn.Parameter(X), torch.nn.Buffer(X)])
    assert not situation.is_plain([X, X.as_subclass(Meaningful)])
    negated = torch.complex(X, X).conj().imag
    assert negated.is_neg()
    assert not situation.is_plain([X, negated])
    with Recorder():
        assert not situation.is_plain([X])
        assert not situation.is_plain([])
    with torch._subclasses.FakeTensorMode() as mode:
        fake = mode.from_tensor(X)
    assert not situation.is_plain([X, fake])
    said = []
    torch.jit.trace(lambda x: said.append(situation.is_plain([X])) or x + 1, X)
    assert said[0] is False
    assert not inside(lambda x: situation.is_plain([x]))


def test_autocast_of_cpus_is_told_from_that_of_others():
    assert not situation.is_autocast()
    with torch.autocast("cpu", torch.bfloat16):
        assert situation.is_autocast()
    torch.set_autocast_enabled("cuda", True)
    try:
        assert not situation.is_autocast()
    finally:
        torch.set_autocast_enabled("cuda", False)


def test_integers_come_out_of_what_a_transform_made_of_them():
    index = torch.arange(3)
    assert situation.without_transform(index, "index") is index
    assert not situation.is_wrapped(index)
    assert inside(lambda x: situation.is_wrapped(x))
    assert not inside(lambda x: situation.is_wrapped(index))
    found = []
    torch.func.grad(lambda x: found.append(situation.without_transform(x, "x")) or x.sum())(X)
    assert type(found[0]) is torch.Tensor
    assert not torch._C._functorch.is_functorch_wrapped_tensor(found[0])
    assert torch.equal(found[0], X)
    with pytest.raises(ValueError, match=r"^index is batched by torch\.func\.vmap"):
        torch.func.vmap(lambda x: situation.without_transform(x, "index"))(index.view(1, 3))


def test_what_is_made_outside_stays_plain():
    def made(outside):
        kept = []

        def call(x):
            if outside:
                with situation.outside_torch_func():
                    kept.append(X + 1)
            else:
                kept.append(X + 1)
            return x.sum()

        torch.func.grad(call)(X)
        return torch._C._functorch.is_functorch_wrapped_tensor(kept[0])

    assert made(outside=False)
    assert not made(outside=True)
    with situation.outside_torch_func():
        assert (X + 1).tolist() == [2, 2, 2]
