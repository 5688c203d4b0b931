"""The drop-in suite on PyG's layers, and a planted fault for each of its checks."""

from __future__ import annotations

from collections import OrderedDict
from unittest import mock

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle
from torch_geometric.nn import GATConv, Linear
from torch_geometric.utils import is_torch_sparse_tensor

from graphkit.testing import DropInSuite
from tests.testing.faults import FaultList


class Sound(GATConv):
    """A drop-in that changes nothing."""


class TestSound(DropInSuite):
    def make(self, **options) -> nn.Module:
        return Sound(8, 3, heads=2, **options)

    def twin(self, **options) -> nn.Module:
        return GATConv(8, 3, heads=2, **options)


class TestWithEdgeFeatures(TestSound):
    edge_dim = 4
    not_claimed = {"sparse_adjacency": "PyG puts no features into an adjacency by itself"}

    def make(self, **options) -> nn.Module:
        return Sound(8, 3, heads=2, edge_dim=4, **options)

    def twin(self, **options) -> nn.Module:
        return GATConv(8, 3, heads=2, edge_dim=4, **options)


def suite_of(kind: type[nn.Module]) -> type[DropInSuite]:
    make = {"make": lambda self, **options: kind(8, 3, heads=2, **options)}
    return type(f"{kind.__name__}Suite", (TestSound,), make)


FAULTS = FaultList(suite_of)
caught_by = FAULTS.caught_by


@caught_by("signature")
class HidesItsArguments(GATConv):
    def __init__(self, in_channels, out_channels, **kwargs):
        super().__init__(in_channels, out_channels, **kwargs)


@caught_by("signature")
class HasAnotherDefault(GATConv):
    def forward(self, x, edge_index, edge_attr=None, size=None, return_attention_weights=False):
        return super().forward(x, edge_index, edge_attr, size, return_attention_weights or None)


@caught_by("class")
class OnlyHoldsIt(nn.Module):
    def __init__(self, *args, **kwargs):
        super().__init__()
        self.conv = GATConv(*args, **kwargs)


@caught_by("state_dict")
class RenamesItsWeights(GATConv):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.scale = nn.Parameter(torch.ones(1))


class Changed(GATConv):
    """Changes the output where a subclass says so."""

    def changes(self, x, edge_index):
        return False

    def forward(self, x, edge_index, edge_attr=None, size=None, return_attention_weights=None):
        out = super().forward(x, edge_index, edge_attr, size, return_attention_weights)
        return out * 1.01 if self.changes(x, edge_index) else out


@caught_by("values")
class WrongOnLoops(Changed):
    def changes(self, x, edge_index):
        return isinstance(x, torch.Tensor) and bool((edge_index[0] == edge_index[1]).any())


@caught_by("pair")
class WrongOnPairs(Changed):
    def changes(self, x, edge_index):
        return isinstance(x, tuple) and x[1] is not None


@caught_by("missing_targets")
class WrongWithoutTargets(Changed):
    def changes(self, x, edge_index):
        return isinstance(x, tuple) and x[1] is None


@caught_by("flow")
class WrongAgainstTheFlow(Changed):
    def changes(self, x, edge_index):
        return self.flow == "target_to_source"


@caught_by("aggregations")
class WrongForTheMean(Changed):
    def changes(self, x, edge_index):
        return self.aggr == "mean"


@caught_by("sparse_adjacency")
class WrongOnSparse(Changed):
    def changes(self, x, edge_index):
        return is_torch_sparse_tensor(edge_index)


@caught_by("rewritten_parameters")
class WrongWherePruned(Changed):
    def changes(self, x, edge_index):
        return any(name.endswith("_orig") for name, _ in self.named_parameters())


@caught_by("rewritten_parameters")
class WrongWhereParametrized(Changed):
    def changes(self, x, edge_index):
        return any("parametrizations" in name for name, _ in self.named_parameters())


@caught_by("attention")
class ShiftsItsWeights(GATConv):
    def forward(self, x, edge_index, edge_attr=None, size=None, return_attention_weights=None):
        out = super().forward(x, edge_index, edge_attr, size, return_attention_weights)
        return (out[0], (out[1][0], out[1][1].roll(1, 0))) if return_attention_weights else out


class Deaf(GATConv):
    """Runs in a layer of its own, as a kernel does."""

    def forward(self, x, edge_index, edge_attr=None, size=None, return_attention_weights=None):
        kernel = GATConv(8, 3, heads=2).to(x.dtype).eval()
        kernel.load_state_dict(self.state_dict())
        return torch.func.functional_call(
            kernel, dict(self.named_parameters()), (x, edge_index, edge_attr, size)
        )


@caught_by("hooks", "subclass")
class NeverListens(Deaf):
    """Nothing hangs on the layer that runs."""


@caught_by("hooks")
class HearsOnlyMessages(GATConv):
    def register_edge_update_forward_hook(self, hook):
        return RemovableHandle(OrderedDict())


@caught_by("module_hooks")
class NeverCallsItsMap(GATConv):
    """Multiplies by the weight of a map, as a kernel does."""

    def forward(self, *args, **kwargs):
        with mock.patch.object(Linear, "__call__", Linear.forward):
            return super().forward(*args, **kwargs)


@caught_by("module_hooks")
class CallsItsMapForShow(GATConv):
    """Its map is heard, but what hooks make of it is not used."""

    def forward(self, *args, **kwargs):
        def call(lin, x):
            nn.Module.__call__(lin, x)
            return lin.forward(x)

        with mock.patch.object(Linear, "__call__", call):
            return super().forward(*args, **kwargs)


@FAULTS.parametrize()
def test_fault_is_caught(kind, check):
    FAULTS.assert_caught(kind, check)


def test_every_check_has_a_fault():
    assert FAULTS.unproven(DropInSuite) == set()
