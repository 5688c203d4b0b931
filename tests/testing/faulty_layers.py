"""Layers with one planted fault each, and the check of the layer suite that must name it."""

from __future__ import annotations

import random

import torch
from torch import nn
from torch_geometric import EdgeIndex
from torch_geometric.utils import coalesce, remove_self_loops

from graphkit import ops
from graphkit.testing import LayerSuite
from tests.testing.faults import FaultList
from tests.testing.test_toy_layers import AttentionSuite, MeanConv, MeanSuite, ToyAttention


def suite_of(kind: type[nn.Module]) -> type[LayerSuite]:
    base = AttentionSuite if issubclass(kind, ToyAttention) else MeanSuite
    return type(f"{kind.__name__}Suite", (base,), {"make": lambda self: kind(8, 5)})


FAULTS = FaultList(suite_of)
caught_by = FAULTS.caught_by


@caught_by("dense_value_and_gradient", "receptive_field")
class WrongDirection(MeanConv):
    def combine(self, x, edge_index):
        return super().combine(x, edge_index.flip(0))


@caught_by("dense_value_and_gradient", "float32")
class MissingNormalisation(MeanConv):
    def __init__(self, in_channels, out_channels):
        super().__init__(in_channels, out_channels, aggr="sum")


@caught_by("cross_graph_gradient", "batch_equals_loop", "receptive_field")
class CrossGraphLeak(MeanConv):
    def combine(self, x, edge_index):
        return super().combine(x - x.mean(-2, keepdim=True), edge_index)


@caught_by("input_not_mutated")
class MutatesFeatures(MeanConv):
    def forward(self, x, edge_index):
        return super().forward(x.mul_(2), edge_index)


@caught_by("input_not_mutated")
class MutatesEdges(MeanConv):
    def forward(self, x, edge_index):
        edge_index.copy_(edge_index[:, edge_index[1].argsort(stable=True)])
        return super().forward(x, edge_index)


@caught_by("refuses_what_is_no_tensor")
class TakesArrays(MeanConv):
    def forward(self, x, edge_index):
        return super().forward(torch.as_tensor(x), edge_index)


@caught_by("refuses_what_is_no_tensor")
class AsksAnythingForItsSize(MeanConv):
    def check_edges(self, x, edge_index):
        super().check_edges(x, edge_index.long())


@caught_by("follows_device")
class OnTheDefaultDevice(MeanConv):
    def combine(self, x, edge_index):
        return super().combine(x * torch.ones(x.size(-1), dtype=x.dtype), edge_index)


@caught_by("node_permutation")
class NotEquivariant(MeanConv):
    def combine(self, x, edge_index):
        return super().combine(x, edge_index) + torch.arange(x.size(-2), dtype=x.dtype)[:, None]


@caught_by("edge_order")
class NumbersTheEdges(MeanConv):
    def message(self, x_j):
        return x_j * torch.arange(x_j.size(-2), dtype=x_j.dtype)[:, None]


@caught_by("eval_repeatable")
class DropsInEval(MeanConv):
    def forward(self, x, edge_index):
        return super().forward(nn.functional.dropout(x, 0.5, training=True), edge_index)


@caught_by("eval_repeatable")
class LearnsInEval(MeanConv):
    def __init__(self, in_channels, out_channels):
        super().__init__(in_channels, out_channels)
        self.register_buffer("count", torch.zeros(()))

    def combine(self, x, edge_index):
        self.count += 1
        return super().combine(x, edge_index)


@caught_by("train_seeded")
class ForeignRandomness(MeanConv):
    def combine(self, x, edge_index):
        noise = random.SystemRandom().random() if self.training else 1.0
        return super().combine(x, edge_index) * noise


@caught_by("modes")
class RemembersTraining(MeanConv):
    trained = False

    def combine(self, x, edge_index):
        self.trained = self.trained or self.training
        return super().combine(x, edge_index) * (2 if self.trained else 1)


@caught_by("isolated_nodes", "no_edges")
class IgnoresIsolatedNodes(MeanConv):
    def combine(self, x, edge_index):
        seen = int(edge_index.max()) + 1 if edge_index.numel() else 0
        return super().combine(x, edge_index)[..., :seen, :]


@caught_by("dense_value_and_gradient", "gradcheck")
class DetachedGradient(MeanConv):
    def combine(self, x, edge_index):
        return super().combine(x, edge_index) + (x - x.detach())


@caught_by("dense_value_and_gradient", "receptive_field")
class DetachedFeatures(MeanConv):
    def combine(self, x, edge_index):
        return super().combine(x.detach(), edge_index)


@caught_by("float32", "bfloat16")
class UpcastsType(MeanConv):
    def combine(self, x, edge_index):
        return super().combine(x, edge_index).double()


@caught_by("bfloat16")
class LosesPrecision(MeanConv):
    def combine(self, x, edge_index):
        coarse = x.dtype == torch.bfloat16
        return super().combine(x.mul(4).round() / 4 if coarse else x, edge_index)


@caught_by("state_dict_round_trip")
class HiddenState(MeanConv):
    def __init__(self, in_channels, out_channels):
        super().__init__(in_channels, out_channels)
        self.hidden = torch.rand(out_channels).double()

    def combine(self, x, edge_index):
        return super().combine(x, edge_index) * self.hidden.to(x.dtype)


@caught_by("deepcopy")
class SharesItsCopy(MeanConv):
    def __deepcopy__(self, memo):
        return self


@caught_by("pickle")
class HoldsLambda(MeanConv):
    def __init__(self, in_channels, out_channels):
        super().__init__(in_channels, out_channels)
        self.activation = lambda x: x


@caught_by("reset_parameters")
class ForgetsToReset(MeanConv):
    def reset_parameters(self):
        self.lin.reset_parameters()


@caught_by("lazy_channels")
class NeedsItsWidth(MeanConv):
    def __init__(self, in_channels, out_channels):
        super().__init__(in_channels, out_channels)
        self.scale = nn.Parameter(torch.ones(in_channels))


@caught_by("repr")
class Nameless(MeanConv):
    def __repr__(self):
        return "Nameless()"


@caught_by("compile")
class BreaksTheGraph(MeanConv):
    def combine(self, x, edge_index):
        torch._dynamo.graph_break()
        return super().combine(x, edge_index)


@caught_by("compile")
class DiffersWhenCompiled(MeanConv):
    def combine(self, x, edge_index):
        out = super().combine(x, edge_index)
        return out * 2 if torch.compiler.is_compiling() else out


@caught_by("every_backend")
class DiffersByBackend(MeanConv):
    def combine(self, x, edge_index):
        return super().combine(x * 2 if ops.active_backend() == "numba" else x, edge_index)


@caught_by("noncontiguous_input")
class AssumesContiguous(MeanConv):
    def forward(self, x, edge_index):
        return super().forward(x.as_strided(x.size(), x.new_empty(x.size()).stride()), edge_index)


@caught_by("static_batch")
class MixesStaticBatch(MeanConv):
    def combine(self, x, edge_index):
        return super().combine(x.mean(0, keepdim=True) + 0 * x if x.dim() == 3 else x, edge_index)


@caught_by("edge_index_class")
class MisreadsEdgeIndex(MeanConv):
    def combine(self, x, edge_index):
        flip = isinstance(edge_index, EdgeIndex) and edge_index.is_sorted_by_row
        return super().combine(x, edge_index.as_tensor().flip(0) if flip else edge_index)


@caught_by("duplicate_edges")
class MergesDuplicates(MeanConv):
    def combine(self, x, edge_index):
        return super().combine(x, coalesce(edge_index))


@caught_by("random_graphs")
class ForgetsOneLoop(MeanConv):
    """Wrong only where none of the fixed example graphs looks."""

    def combine(self, x, edge_index):
        loops = (edge_index[0] == 2) & (edge_index[1] == 2)
        return super().combine(x, edge_index[:, ~loops])


@caught_by("self_loops")
class DropsSelfLoops(MeanConv):
    def combine(self, x, edge_index):
        return super().combine(x, remove_self_loops(edge_index)[0])


@caught_by("empty_graph")
class NeedsOneNode(MeanConv):
    def combine(self, x, edge_index):
        return super().combine(x, edge_index) + 0 * x.detach().amax()


@caught_by("single_node")
class NeedsTwoNodes(MeanConv):
    def combine(self, x, edge_index):
        out = super().combine(x, edge_index)
        return out.squeeze(-2) if out.size(-2) == 1 else out


@caught_by("receptive_field")
class ReachesTooFar(MeanConv):
    def combine(self, x, edge_index):
        return super().combine(self.propagate(edge_index, x=x), edge_index)


@caught_by("refuses_out_of_range_index")
class ClampsIndices(MeanConv):
    def check_edges(self, x, edge_index):
        assert edge_index is not None

    def combine(self, x, edge_index):
        return super().combine(x, edge_index.clamp(0, x.size(-2) - 1))


@caught_by("refuses_negative_index")
class WrapsIndices(MeanConv):
    def forward(self, x, edge_index):
        return super().forward(x, torch.where(edge_index < 0, edge_index + x.size(0), edge_index))


@caught_by("refuses_out_of_range_index")
class RefusesWithoutAName(MeanConv):
    def check_edges(self, x, edge_index):
        if edge_index.numel() and int(edge_index.max()) >= x.size(-2):
            raise IndexError("something is out of range")


@caught_by("refuses_float_edge_index")
class CastsFloatIndices(MeanConv):
    def forward(self, x, edge_index):
        return super().forward(x, edge_index.long())


@caught_by("refuses_transposed_edge_index")
class GuessesTheLayout(MeanConv):
    def forward(self, x, edge_index):
        return super().forward(x, edge_index if edge_index.size(0) == 2 else edge_index.t())


@caught_by("refuses_wrong_width")
class PadsFeatures(MeanConv):
    def forward(self, x, edge_index):
        missing = self.lin.in_channels - x.size(-1)
        return super().forward(nn.functional.pad(x, (0, missing)), edge_index)


@caught_by("refuses_flat_features")
class WidensFlatFeatures(MeanConv):
    def forward(self, x, edge_index):
        return super().forward(x[:, None].expand(-1, 8) if x.dim() == 1 else x, edge_index)


@caught_by("message_path")
class FastPathDiffers(MeanConv):
    def combine(self, x, edge_index):
        out = super().combine(x, edge_index)
        return out if self.explain else out + 1e-3


@caught_by("edge_masks_align", "gnn_explainer", "captum_explainer")
class SortsTheEdges(MeanConv):
    def combine(self, x, edge_index):
        plain = edge_index.as_tensor() if isinstance(edge_index, EdgeIndex) else edge_index
        return super().combine(x, plain[:, plain[0].argsort(stable=True)])


@caught_by("attention_alignment")
class ShiftedAttention(ToyAttention):
    def reported(self, edges, alpha):
        return edges, alpha.roll(1)[:, None]


@caught_by("attention_alignment")
class LoopsFirst(ToyAttention):
    """Reports the edges that came in, next to weights sliced as PyG's AttentionExplainer does."""

    def forward(self, x, edge_index, return_attention_weights=False):
        out, (_, alpha) = super().forward(x, edge_index, return_attention_weights=True)
        pair = (edge_index, alpha[: edge_index.size(1)])
        return (out, pair) if return_attention_weights else out


@caught_by("attention_alignment", "attention_locality")
class AttentionOfTheReverse(ToyAttention):
    def reported(self, edges, alpha):
        return super().reported(edges, self.weights(self.last, edges.flip(0)))

    def weights(self, h, edges):
        self.last = h
        return super().weights(h, edges)


@caught_by("attention_locality")
class SoftmaxOverAllEdges(ToyAttention):
    def weights(self, h, edges):
        return super().weights(h, edges * torch.tensor([[1], [0]]))


@caught_by("attention_leaves_no_trace")
class AskingChangesTheOutput(ToyAttention):
    def forward(self, x, edge_index, return_attention_weights=False):
        out = super().forward(x, edge_index, return_attention_weights)
        return (out[0] * 2, out[1]) if return_attention_weights else out


@caught_by("attention_leaves_no_trace")
class AskingLeavesAMark(ToyAttention):
    def forward(self, x, edge_index, return_attention_weights=False):
        if return_attention_weights:
            self.bias.requires_grad_(False)
        return super().forward(x, edge_index, return_attention_weights)
