"""Two sound toy layers, their oracles, and the suites that they pass without a word."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric import EdgeIndex
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.dense import Linear
from torch_geometric.utils import add_self_loops, remove_self_loops, softmax

from graphkit.testing import LayerSuite, dense_adjacency


class Toy(MessagePassing):
    """What both share; never made itself, since PyG keeps one generated path per class."""

    def __init__(self, in_channels: int, out_channels: int, **kwargs: object) -> None:
        super().__init__(**{"aggr": "mean", "node_dim": -2, **kwargs})
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.lin = Linear(in_channels, out_channels, bias=False)
        self.bias = nn.Parameter(torch.empty(out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        self.lin.reset_parameters()
        nn.init.zeros_(self.bias)

    def check(self, x: Tensor, edge_index: Tensor) -> None:
        if not isinstance(x, Tensor):
            raise TypeError("x must be one tensor: the toys know one set of nodes")
        if x.dim() < 2:
            raise ValueError(f"x has shape {tuple(x.shape)}, expected [N, F] or [B, N, F]")
        width = self.lin.in_channels
        if width > 0 and x.size(-1) != width:
            raise ValueError(f"x has {x.size(-1)} channels, expected {width}")
        self.check_edges(x, edge_index)

    def check_edges(self, x: Tensor, edge_index: Tensor) -> None:
        if not isinstance(edge_index, Tensor):
            raise TypeError(f"edge_index must be a tensor, got {type(edge_index).__name__}")
        if edge_index.layout != torch.strided:
            raise TypeError(f"edge_index has layout {edge_index.layout}, expected a dense tensor")
        if edge_index.is_floating_point():
            raise TypeError(f"edge_index has type {edge_index.dtype}, expected integers")
        if edge_index.dim() != 2 or edge_index.size(0) != 2:
            raise ValueError(f"edge_index has shape {tuple(edge_index.shape)}, expected [2, E]")
        if not torch.compiler.is_compiling() and edge_index.numel():
            plain = edge_index.as_tensor() if isinstance(edge_index, EdgeIndex) else edge_index
            if int(plain.min()) < 0 or int(plain.max()) >= x.size(-2):
                raise IndexError(f"edge_index points outside of the {x.size(-2)} nodes")


class MeanConv(Toy):
    """Mean of the neighbours' projected features, plus a bias."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        self.check(x, edge_index)
        return self.combine(self.lin(x), edge_index)

    def combine(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.propagate(edge_index, x=x) + self.bias


class MeanSuite(LayerSuite):
    not_claimed = {"attention": "a convolution without attention"}

    def make(self) -> nn.Module:
        return MeanConv(8, 5)

    def dense_reference(self, layer, x, edge_index):
        adj = dense_adjacency(edge_index, x.size(0), dtype=x.dtype)
        mean = adj / adj.sum(1, keepdim=True).clamp(min=1)
        return mean @ x @ layer.lin.weight.t() + layer.bias


class ToyAttention(Toy):
    """Attention with one head over neighbours and the node itself."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, aggr="sum")
        self.att = nn.Parameter(torch.randn(2, out_channels))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        if hasattr(self, "att"):
            nn.init.normal_(self.att)

    def forward(self, x: Tensor, edge_index: Tensor, return_attention_weights: bool = False):
        self.check(x, edge_index)
        h = self.lin(x)
        edges = self.with_loops(edge_index, x.size(0))
        alpha = self.weights(h, edges)
        out = self.propagate(edges, x=h, alpha=alpha) + self.bias
        return (out, self.reported(edges, alpha)) if return_attention_weights else out

    def with_loops(self, edge_index: Tensor, num_nodes: int) -> Tensor:
        edge_index, _ = remove_self_loops(edge_index)
        return add_self_loops(edge_index, num_nodes=num_nodes)[0]

    def weights(self, h: Tensor, edges: Tensor) -> Tensor:
        score = (h @ self.att[0])[edges[0]] + (h @ self.att[1])[edges[1]]
        return softmax(F.leaky_relu(score, 0.2), edges[1], num_nodes=h.size(0))

    def reported(self, edges: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        return edges, alpha[:, None]

    def message(self, x_j: Tensor, alpha: Tensor) -> Tensor:
        return alpha[:, None] * x_j


class AttentionSuite(LayerSuite):
    not_claimed = {
        "static_batch": "the toy keeps to one graph",
        "compiled_sizes": "the toy takes out the self loops, however many there are",
    }

    def make(self) -> nn.Module:
        return ToyAttention(8, 5)

    def dense_attention(self, layer, x, edge_index):
        h = layer.lin(x)
        score = F.leaky_relu((h @ layer.att[0])[None] + (h @ layer.att[1])[:, None], 0.2).exp()
        return score / (self._counts(x, edge_index) * score).sum(1, keepdim=True)

    def dense_reference(self, layer, x, edge_index):
        alpha = self.dense_attention(layer, x, edge_index) * self._counts(x, edge_index)
        return alpha @ layer.lin(x) + layer.bias

    def _counts(self, x: Tensor, edge_index: Tensor) -> Tensor:
        counts = dense_adjacency(edge_index, x.size(0), dtype=x.dtype)
        return counts - counts.diag().diag() + torch.eye(x.size(0), dtype=x.dtype)


class TestMeanConv(MeanSuite):
    """A sound layer passes everything it claims."""


class TestToyAttention(AttentionSuite):
    """A sound attention layer passes everything it claims."""
