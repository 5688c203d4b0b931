"""Who may leave message passing for a kernel, and who takes that right away."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch_geometric.explain.algorithm.utils import clear_masks, set_masks
from torch_geometric.nn import GATConv, MessagePassing
from torch_geometric.nn.aggr import SumAggregation

from graphkit import ops
from graphkit.nn.fast_path import GENERATED, FastPath

X = torch.tensor([[1.0], [2.0], [4.0]])
EDGES = torch.tensor([[0, 1, 2], [1, 2, 1]])
HOOKS = [
    f"register_{part}_forward_{when}"
    for part in ("propagate", "message", "aggregate", "message_and_aggregate", "edge_update")
    for when in ("pre_hook", "hook")
]


class Sum(FastPath, fast=True):
    """The sum of the neighbours; its kernel adds 100 so that one sees who was asked."""

    def forward(self, x, edge_index):
        if self.may_be_fast():
            return ops.spmm(edge_index, None, x) + 100
        return self.propagate(edge_index, x=x)

    def edge_update(self, x_j):
        return x_j


class Listened(Sum):
    """Unchanged, so as fast as its parent."""


def nothing(*args):
    """A hook that only listens."""


def message(self, x_j):
    return 2 * x_j


SLOW, FAST = torch.tensor([[0.0], [5.0], [2.0]]), torch.tensor([[100.0], [105.0], [102.0]])


@pytest.mark.parametrize("kind", [Sum, Listened])
def test_the_kernel_serves_a_layer_as_it_was_written(kind):
    assert torch.equal(kind()(X, EDGES), FAST)
    for aggr in ("sum", "add", SumAggregation()):
        assert torch.equal(kind(aggr=aggr)(X, EDGES), FAST)


@pytest.mark.parametrize("register", HOOKS)
def test_a_hook_asks_for_messages_as_long_as_it_hangs(register):
    layer = Sum()
    first = getattr(layer, register)(nothing)
    second = getattr(layer, register)(nothing)
    assert torch.equal(layer(X, EDGES), SLOW)
    first.remove()
    assert not layer.may_be_fast()
    second.remove()
    assert torch.equal(layer(X, EDGES), FAST)
    third = getattr(layer, register)(nothing)
    assert not layer.may_be_fast()
    third.remove()
    assert layer.may_be_fast()


def test_every_way_to_register_a_hook_is_watched():
    named = {name for name in dir(MessagePassing) if name.startswith("register_")}
    ordinary = {name for name in dir(torch.nn.Module) if name.startswith("register_")}
    assert set(HOOKS) == named - ordinary


def test_hooks_belong_to_the_copy_they_hang_on():
    layer = Sum()
    handle = layer.register_message_forward_hook(nothing)
    clones = copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))
    handle.remove()
    assert layer.may_be_fast()
    assert not any(clone.may_be_fast() for clone in clones)
    clone = copy.deepcopy(layer)
    clone.register_message_forward_hook(nothing)
    assert layer.may_be_fast()
    assert not clone.may_be_fast()


@pytest.mark.parametrize(
    "kind", ["forward_pre_hook", "forward_hook", "full_backward_pre_hook", "full_backward_hook"]
)
def test_a_hook_that_hears_the_aggregation_asks_for_messages(kind):
    layer = Sum()
    registers = (
        getattr(layer.aggr_module, f"register_{kind}"),
        getattr(torch.nn.modules.module, f"register_module_{kind}"),
    )
    x = X.clone().requires_grad_()
    for register in registers:
        heard = []
        handle = register(lambda module, *_, heard=heard: heard.append(module))
        out = layer(x, EDGES)
        out.sum().backward()
        handle.remove()
        assert torch.equal(out, SLOW)
        assert heard.count(layer.aggr_module) == 1
        assert torch.equal(layer(X, EDGES), FAST)


def test_another_aggregation_asks_for_messages():
    for aggr in ("mean", "max", ["sum"], "softmax"):
        assert not Sum(aggr=aggr).may_be_fast()
    layer = Sum()
    layer.aggr_module = Sum(aggr="max").aggr_module
    assert torch.equal(layer(X, EDGES), torch.tensor([[0.0], [4.0], [2.0]]))


OVERRIDES = {
    "message": message,
    "aggregate": lambda self, inputs, index, dim_size: inputs.new_ones(dim_size, 1),
    "update": lambda self, inputs: inputs - 1,
    "edge_update": lambda self, x_j: x_j,
    "message_and_aggregate": lambda self, edge_index: edge_index,
    "propagate": lambda self, edge_index, **kwargs: 7 * kwargs["x"],
    "edge_updater": lambda self, edge_index, **kwargs: edge_index,
}
for name, method in OVERRIDES.items():
    method.__name__ = name


@pytest.mark.parametrize("name", OVERRIDES)
def test_another_method_asks_for_messages(name, monkeypatch):
    def instance():
        layer = Sum()
        setattr(layer, name, OVERRIDES[name].__get__(layer))
        return layer

    mixin = type(f"Mixin_{name}", (), {name: OVERRIDES[name]})
    Sum()
    top = type(f"Top_{name}", (Sum,), {name: OVERRIDES[name]})
    makers = {
        "subclass": top,
        "subclass of it": type(f"Deep_{name}", (top,), {}),
        "mixin": type(f"Mixed_{name}", (mixin, Sum), {}),
        "instance": instance,
    }
    for what, make in makers.items():
        assert not make().may_be_fast(), what
    patched = type(f"Patched_{name}", (Sum,), {})
    assert patched().may_be_fast()
    monkeypatch.setattr(patched, name, OVERRIDES[name])
    assert not patched().may_be_fast()


@pytest.mark.parametrize("name", OVERRIDES)
def test_a_method_put_into_a_parent_is_seen_until_it_goes(name, monkeypatch):
    class Child(Sum):
        """Was found as it was written, before."""

    layer = Child()
    assert layer.may_be_fast()
    with monkeypatch.context() as patch:
        # PyG puts what it generates into each class.
        patch.setattr(Child if name in GENERATED else Sum, name, OVERRIDES[name])
        assert not layer.may_be_fast()
    assert layer.may_be_fast()
    setattr(layer, name, OVERRIDES[name].__get__(layer))
    assert not layer.may_be_fast()
    delattr(layer, name)
    assert layer.may_be_fast()


def test_a_class_that_answers_for_its_parts_asks_for_messages():
    class Swapped(Sum):
        """Is never made, so that PyG generates nothing for it."""

    class Shadowed(Swapped):
        @property
        def aggr_module(self):
            return SumAggregation()

    class Answering(Sum):
        def __getattr__(self, name):
            return super().__getattr__(name)

    for kind in (Shadowed, Answering):
        layer = Sum()
        layer.__class__ = Swapped
        assert layer.may_be_fast()
        layer.__class__ = kind
        assert not layer.may_be_fast()
        assert not kind().may_be_fast()


def test_the_other_method_is_the_one_that_runs():
    class Twice(Sum):
        def message(self, x_j):
            return 2 * x_j

    assert torch.equal(Twice()(X, EDGES), 2 * SLOW)
    layer = Sum()
    layer.message = message.__get__(layer)
    assert torch.equal(layer(X, EDGES), 2 * SLOW)
    del layer.message
    assert torch.equal(layer(X, EDGES), FAST)


def test_a_subclass_can_bring_a_fast_path_of_its_own():
    class Twice(Sum, fast=True):
        def message(self, x_j):
            return 2 * x_j

        def forward(self, x, edge_index):
            return 2 * super().forward(x, edge_index) if self.may_be_fast() else None

    assert torch.equal(Twice()(X, EDGES), 2 * FAST)


@pytest.mark.parametrize("kind", [Sum, Listened])
def test_masks_act_also_in_subclasses_of_what_ran_before(kind):
    Sum()(X, EDGES)

    class Later(kind):
        """Made after its parent had run."""

    layer = Later()
    set_masks(layer, torch.tensor([0.0, 1.0, 1.0]), EDGES, apply_sigmoid=False)
    assert torch.equal(layer(X, EDGES), torch.tensor([[0.0], [4.0], [2.0]]))
    clear_masks(layer)
    assert torch.equal(layer(X, EDGES), FAST)


@pytest.mark.parametrize("first", [True, False])
def test_masks_act_wherever_the_pyg_layer_was_made(first):
    """PyG puts a ``propagate`` without masks into ``GATConv``: before the class or after it."""
    if first:
        GATConv(2, 2)

    class Attention(FastPath, GATConv, fast=True):
        """GATConv with nothing added."""

    edges, x = torch.tensor([[0], [1]]), torch.randn(2, 2)
    GATConv(2, 2)(x, edges)
    layer = Attention(2, 2, add_self_loops=False)
    assert layer(x, edges)[1].any()
    set_masks(layer, torch.zeros(1), edges, apply_sigmoid=False)
    assert torch.equal(layer(x, edges), torch.zeros(2, 2))


def test_a_class_without_a_fast_path_has_none():
    class Plain(FastPath):
        """Never said fast=True."""

    assert not Plain().may_be_fast()


def test_compiled_code_asks_again():
    torch.compiler.reset()
    layer = Sum()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(X, EDGES), FAST)
    set_masks(layer, torch.ones(3), EDGES, apply_sigmoid=False)
    assert torch.equal(compiled(X, EDGES), SLOW)
    clear_masks(layer)
    layer.message = message.__get__(layer)
    assert torch.equal(compiled(X, EDGES), 2 * SLOW)
    torch.compiler.reset()
