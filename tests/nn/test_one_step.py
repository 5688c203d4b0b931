"""A layer is one step only where nobody could tell."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils import parametrize, prune, weight_norm
from torch_geometric.nn import Linear

from graphkit.nn.one_step import may_be_one_step


def test_plain_maps_of_dense_features_are_served():
    x = torch.randn(4, 3)
    assert may_be_one_step(x, [nn.Linear(3, 2), None, Linear(3, 2, bias=False)], None, x)
    assert may_be_one_step(x.double(), [nn.Linear(3, 2).double()])


@pytest.mark.parametrize(
    "x",
    [
        None,
        (torch.randn(4, 3), torch.randn(4, 3)),
        torch.randn(2, 4, 3),
        torch.randn(4, 3).to_sparse(),
        torch.randn(4, 3, device="meta"),
        torch.randn(4, 3, dtype=torch.bfloat16),
        torch.randn(4, 3, dtype=torch.float64),
    ],
    ids=["nothing", "pair", "batch", "sparse", "meta", "half", "mixed"],
)
def test_other_features_are_not(x):
    assert not may_be_one_step(x, [nn.Linear(3, 2)])


@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_compressed_features_are_not():
    assert not may_be_one_step(torch.randn(4, 3).to_sparse_csr(), [nn.Linear(3, 2)])


def test_half_precision_is_not_computed_in_as_it_is():
    assert not may_be_one_step(torch.randn(4, 3).half(), [nn.Linear(3, 2).half()])


def test_a_parameter_of_another_dtype_is_seen():
    x = torch.randn(4, 3)
    assert not may_be_one_step(x, [nn.Linear(3, 2)], torch.zeros(2, dtype=torch.float64))


def test_hooked_and_replaced_maps_are_not():
    class Doubled(nn.Linear):
        pass

    x, hooked = torch.randn(4, 3), nn.Linear(3, 2)
    handle = hooked.register_forward_hook(lambda module, inputs, output: 2 * output)
    assert not may_be_one_step(x, [nn.Linear(3, 2), hooked])
    handle.remove()
    assert may_be_one_step(x, [nn.Linear(3, 2), hooked])
    assert not may_be_one_step(x, [Doubled(3, 2)])


def test_hooks_on_all_modules_are_heard():
    x, lin = torch.randn(4, 3), nn.Linear(3, 2)
    handle = nn.modules.module.register_module_forward_hook(lambda *given: None)
    assert not may_be_one_step(x, [lin])
    handle.remove()
    assert may_be_one_step(x, [lin])


def test_calls_that_somebody_watches_are_not():
    x, lin = torch.randn(4, 3), nn.Linear(3, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert not may_be_one_step(x, [lin])
    with torch.autocast("cpu", torch.bfloat16, enabled=False):
        assert may_be_one_step(x, [lin])
    with forward_ad.dual_level():
        assert may_be_one_step(x, [lin])
        assert not may_be_one_step(forward_ad.make_dual(x, x), [lin])
        assert not may_be_one_step(x, [lin], forward_ad.make_dual(x, x))
    seen = []

    def look(x):
        seen.append(may_be_one_step(x, [lin]))
        # Nothing but a watching mode tells that this one is recorded.
        seen.append(may_be_one_step(plain, [lin]))
        return x + 1

    plain = torch.randn(4, 3)
    torch.func.vmap(look)(x[None])
    torch.func.jvp(look, (x,), (x,))
    make_fx(look)(x)
    torch.jit.trace(look, x, check_trace=False)
    torch.compile(look, backend="eager", fullgraph=True)(x)
    assert seen == [False] * len(seen)
    assert len(seen) >= 10


def halved(lin):
    parametrize.register_parametrization(lin, "weight", nn.Tanh())


def pruned(lin):
    prune.l1_unstructured(lin, "bias", amount=0.5)


def replaced(lin):
    weight = lin.weight.detach()
    del lin.weight
    lin.weight = weight


def unbiased(lin):
    del lin.bias
    lin.bias = torch.ones(2)


@pytest.mark.parametrize("change", [halved, pruned, replaced, unbiased, weight_norm])
@pytest.mark.filterwarnings("ignore:.*weight_norm")
def test_maps_that_make_their_weights_anew_are_not(change):
    lin = nn.Linear(3, 2)
    change(lin)
    assert not may_be_one_step(torch.randn(4, 3), [lin])
