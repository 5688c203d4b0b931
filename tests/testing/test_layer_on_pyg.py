"""The layer suite on PyG's own layers: what they claim holds, what they do not is named."""

import torch
from torch import Tensor
from torch_geometric.nn import GATConv, GCNConv

from graphkit.testing import LayerSuite, dense_adjacency

SIZES = "PyG takes out the self loops, however many there are"
LATE = "PyG finds it in the matrix product or the kernel, whose message names no argument"


class TestGCNConv(LayerSuite):
    not_claimed = {
        "attention": "a convolution without attention",
        "compiled_sizes": SIZES,
        "pair": "PyG refuses 'a tuple of node features' without naming the argument",
        "two_sets": "as for pair",
        "random_graphs": "of several weighted self loops at one node PyG keeps the last",
        "sparse_adjacency": "PyG reads the weights from the values, not from 'edge_weight'",
        "refuses_flat_features": LATE,
        "refuses_wrong_width": LATE,
        "refuses_transposed_edge_index": LATE,
        "refuses_float_edge_index": LATE,
        "refuses_out_of_range_index": LATE,
        "refuses_negative_index": LATE,
        "refuses_what_is_no_tensor": "PyG asks whatever comes for its 'size'",
    }

    def make(self) -> GCNConv:
        return GCNConv(8, 5)

    def edge_inputs(self, edge_index: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
        return {"edge_weight": torch.rand(edge_index.size(1)).to(dtype) + 0.5}

    def dense_reference(self, layer, x, edge_index, edge_weight):
        adj = dense_adjacency(edge_index, x.size(0), edge_weight)
        loops = torch.eye(x.size(0), dtype=x.dtype)
        missing = (edge_index[0] == edge_index[1]).new_zeros(x.size(0))
        missing[edge_index[0][edge_index[0] == edge_index[1]]] = True
        adj = adj + loops * (~missing)
        norm = adj.sum(1).pow(-0.5)
        return norm[:, None] * adj * norm @ (x @ layer.lin.weight.t()) + layer.bias


class TestGATConv(LayerSuite):
    not_claimed = {
        "compiled_sizes": SIZES,
        "layout_keywords": "PyG slices a pair of features and says: no attribute 'chunk'",
        "refuses_wrong_width": LATE,
        "refuses_transposed_edge_index": LATE,
        "refuses_what_is_no_tensor": "PyG unpacks whatever comes as a pair",
        "refuses_flat_features": "PyG has a bare assert that names no argument",
        "static_batch": "PyG's GATConv says: Static graphs not supported",
    }

    def make(self) -> GATConv:
        return GATConv(8, 3, heads=2)

    def dense_attention(self, layer, x, edge_index):
        h = layer.lin(x).view(-1, 2, 3)
        score = (h * layer.att_src).sum(-1)[None] + (h * layer.att_dst).sum(-1)[:, None]
        score = torch.nn.functional.leaky_relu(score, 0.2).exp()
        return score / (self._counts(x, edge_index)[..., None] * score).sum(1, keepdim=True)

    def dense_reference(self, layer, x, edge_index):
        alpha = self.dense_attention(layer, x, edge_index) * self._counts(x, edge_index)[..., None]
        h = layer.lin(x).view(-1, 2, 3)
        return torch.einsum("ijh,jhc->ihc", alpha, h).flatten(1) + layer.bias

    def _counts(self, x, edge_index):
        counts = dense_adjacency(edge_index, x.size(0), dtype=x.dtype)
        return counts - counts.diag().diag() + torch.eye(x.size(0), dtype=x.dtype)
