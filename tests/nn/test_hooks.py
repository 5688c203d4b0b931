"""Hooks of every kind are heard: those on a module, and those on all modules."""

from __future__ import annotations

import pytest
from torch import nn
from torch_geometric.nn import Linear

from graphkit.nn.hooks import is_heard, is_untouched, part_of

KINDS = ("forward_pre_hook", "forward_hook", "full_backward_pre_hook", "full_backward_hook")


def nothing(*_):
    """A hook that only listens."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lin", [nn.Linear(3, 2), Linear(3, 2)], ids=["PyTorch", "PyG"])
def test_a_hook_is_heard_as_long_as_it_hangs(lin, kind):
    registers = (
        getattr(lin, f"register_{kind}"),
        getattr(nn.modules.module, f"register_module_{kind}"),
    )
    for register in registers:
        assert is_untouched(lin)
        handle = register(nothing)
        assert is_heard(lin)
        assert not is_untouched(lin)
        handle.remove()
        assert not is_heard(lin)


def test_other_maps_are_not_untouched():
    class Doubled(nn.Linear):
        pass

    assert not is_untouched(Doubled(3, 2))
    assert not is_heard(Doubled(3, 2))
    assert not is_untouched(None)


def test_a_part_is_the_attribute():
    module = nn.Module()
    module.lin = nn.Linear(3, 2)
    module.register_parameter("missing", None)
    module.plain = print
    for name in ("lin", "missing", "plain"):
        assert part_of(module, name) is getattr(module, name)
    module.lin = None
    assert part_of(module, "lin") is None
    with pytest.raises(AttributeError, match="nowhere"):
        part_of(module, "nowhere")
