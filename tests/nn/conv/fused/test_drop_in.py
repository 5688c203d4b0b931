"""The aggregation, which no kernel calls, is called while a hook would hear it."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric.nn import GCNConv

from graphkit.nn import FusedGCNConv, accelerate
from tests.nn.conv.fused.twins import EDGES

KINDS = ("forward_pre_hook", "forward_hook", "full_backward_pre_hook", "full_backward_hook")


@pytest.mark.parametrize("kind", KINDS)
def test_hooks_hear_the_aggregation(kind):
    layer, heard = FusedGCNConv(8, 3), []
    x = torch.randn(5, 8, requires_grad=True)

    def listen(module, *_):
        heard.append(type(module))

    part = type(layer.aggr_module)
    for where in (layer.aggr_module, nn.modules.module):
        on_all = "" if where is layer.aggr_module else "module_"
        assert layer.may_be_fast()
        handle = getattr(where, f"register_{on_all}{kind}")(listen)
        assert not layer.may_be_fast()
        layer(x, EDGES).sum().backward()
        handle.remove()
        assert heard.count(part) == 1
        heard.clear()


def test_a_hook_on_all_modules_leaves_nothing_behind_when_layers_are_swapped():
    layer = GCNConv(8, 3)
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    assert accelerate(layer).swapped
    assert not layer.may_be_fast()
    handle.remove()
    assert layer.may_be_fast()
