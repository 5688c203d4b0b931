"""More faulty layers: those that one cannot put in the place of a PyG layer."""

from __future__ import annotations

import torch
from torch_geometric.utils import is_torch_sparse_tensor, to_edge_index

from tests.testing.faulty_layers import FAULTS, caught_by
from tests.testing.test_toy_layers import MeanConv, ToyAttention

__all__ = ["FAULTS"]


@caught_by("flow")
class IgnoresFlow(MeanConv):
    def __init__(self, in_channels, out_channels, flow="source_to_target", **kwargs):
        super().__init__(in_channels, out_channels, **kwargs)


@caught_by("flow")
class TurnsFlowTwice(MeanConv):
    def combine(self, x, edge_index):
        turned = self.flow == "target_to_source"
        return super().combine(x, edge_index.flip(0) if turned else edge_index)


@caught_by("aggregation")
class IgnoresAggregation(MeanConv):
    def __init__(self, in_channels, out_channels, aggr="mean", **kwargs):
        super().__init__(in_channels, out_channels, **kwargs)


@caught_by("aggregation_options")
class IgnoresAggregationOptions(MeanConv):
    def __init__(self, in_channels, out_channels, aggr_kwargs=None, **kwargs):
        super().__init__(in_channels, out_channels, **kwargs)


@caught_by("layout_keywords")
class ScalesByLayers(MeanConv):
    def combine(self, x, edge_index):
        return super().combine(x, edge_index) * self.decomposed_layers


@caught_by("unknown_keyword")
class SwallowsKeywords(MeanConv):
    def __init__(self, in_channels, out_channels, **kwargs):
        super().__init__(in_channels, out_channels)


@caught_by("message_hooks", "message_hook_acts", "own_methods")
class KernelOnly(MeanConv):
    """Passes messages for explainers alone, as a layer with a fast path may."""

    def combine(self, x, edge_index):
        if self.explain:
            return super().combine(x, edge_index)
        count = x.new_zeros(x.size(-2)).index_add(0, edge_index[1], x.new_ones(edge_index.size(1)))
        weight = count.clamp(min=1).reciprocal()[edge_index[1]]
        total = torch.zeros_like(x)
        sent = x.index_select(-2, edge_index[0]) * weight[:, None]
        return total.index_add(-2, edge_index[1], sent) + self.bias


@caught_by("message_hooks")
class RemembersHooks(MeanConv):
    hooked = False

    def register_message_forward_hook(self, hook):
        self.hooked = True
        return super().register_message_forward_hook(hook)

    def combine(self, x, edge_index):
        return super().combine(x, edge_index) * (2 if self.hooked else 1)


@caught_by("compiled_sizes")
class CountsWhenCompiled(MeanConv):
    def combine(self, x, edge_index):
        return super().combine(x, edge_index[:, edge_index[0] >= 0])


@caught_by("export")
class DiffersWhenExported(MeanConv):
    def combine(self, x, edge_index):
        out = super().combine(x, edge_index)
        return out * 2 if torch.compiler.is_exporting() else out


@caught_by("pair")
class AddsThePair(MeanConv):
    def forward(self, x, edge_index):
        return super().forward(sum(x) if isinstance(x, tuple) else x, edge_index)


@caught_by("two_sets")
class SeesOneOfTwoSets(MeanConv):
    def forward(self, x, edge_index):
        return super().forward(x[1] if isinstance(x, tuple) else x, edge_index)


@caught_by("size")
class SwallowsTheSize(MeanConv):
    def forward(self, x, edge_index, size=None):
        return super().forward(x, edge_index)


@caught_by("sparse_adjacency")
class ForgetsToTranspose(MeanConv):
    def forward(self, x, edge_index):
        sparse = is_torch_sparse_tensor(edge_index)
        return super().forward(x, to_edge_index(edge_index)[0] if sparse else edge_index)


@caught_by("attention_explainer")
class HalvesTheAttentionOfMessages(ToyAttention):
    def message(self, x_j, alpha):
        return super().message(x_j, alpha)

    def propagate(self, edge_index, size=None, **kwargs):
        kwargs["alpha"] = kwargs["alpha"] / 2
        return 2 * super().propagate(edge_index, size=size, **kwargs)
