"""More faulty layers: those that are no functions, neither to PyTorch nor of their arguments."""

from __future__ import annotations

import torch
from torch_geometric import EdgeIndex

from tests.testing.faulty_layers import FAULTS, caught_by
from tests.testing.test_toy_layers import MeanConv

__all__ = ["FAULTS"]


@torch.library.custom_op("planted::opaque", mutates_args=())
def opaque(x: torch.Tensor) -> torch.Tensor:
    return x.clone()


opaque.register_fake(torch.empty_like)
opaque.register_autograd(lambda ctx, grad: grad)


@caught_by("forward_mode", "func_jvp", "func_grad", "func_vmap", "func_jacobian")
class HidesInALibraryOp(MeanConv):
    """Its tangent is zero in forward mode, and functional transforms cannot look inside."""

    def combine(self, x, edge_index):
        return super().combine(opaque(x), edge_index)


@caught_by("forward_mode", "func_jvp", "func_jacobian")
class LosesHalfOfTheTangent(MeanConv):
    def combine(self, x, edge_index):
        primal = torch.autograd.forward_ad.unpack_dual(x).primal
        return super().combine((primal + x) / 2, edge_index)


@caught_by("negated_views")
class ReadsTheMemoryOfFeatures(MeanConv):
    """And not the mark that its values are negated."""

    def forward(self, x, edge_index, *args, **kwargs):
        return super().forward(-x if x.is_neg() else x, edge_index, *args, **kwargs)


class UnmarkedGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value):
        return value.clone()

    @staticmethod
    def backward(ctx, grad):
        return -grad if grad.is_neg() else grad


@caught_by("negated_views")
class ReadsTheMemoryOfGradients(MeanConv):
    def combine(self, x, edge_index):
        return UnmarkedGradient.apply(super().combine(x, edge_index))


class RemembersDegrees(MeanConv):
    """A mean by degrees that are kept; subclasses say under which key."""

    def __init__(self, in_channels, out_channels):
        super().__init__(in_channels, out_channels, aggr="sum")
        self.known = {}

    def combine(self, x, edge_index):
        plain = edge_index.as_tensor() if isinstance(edge_index, EdgeIndex) else edge_index
        key = self.key(plain, x)
        if key not in self.known:
            self.known[key] = plain, torch.bincount(plain[1], minlength=x.size(-2)).clamp(min=1)
        degree = self.known[key][1].to(x.dtype).unsqueeze(-1)
        return self.propagate(edge_index, x=x) / degree + self.bias


@caught_by("edges_among_other_nodes", "no_edges_among_no_nodes_first")
class ForgetsTheNodes(RemembersDegrees):
    def key(self, edge_index, x):
        return edge_index.data_ptr(), edge_index.shape, edge_index.stride(), edge_index._version


@caught_by("edges_written_in_place")
class OverlooksWrites(RemembersDegrees):
    def key(self, edge_index, x):
        return edge_index.data_ptr(), edge_index.shape, edge_index.stride(), x.size(-2)


@caught_by("views_of_one_table")
class TakesViewsForEachOther(RemembersDegrees):
    def key(self, edge_index, x):
        return edge_index.data_ptr(), edge_index.shape, edge_index._version, x.size(-2)
