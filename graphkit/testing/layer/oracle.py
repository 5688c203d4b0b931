"""Checks against dense algebra: values, gradients, degenerate graphs, number types."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from torch_geometric.data import Data

from graphkit.testing.asserts import assert_close
from graphkit.testing.layer.base import CalledBy, LayerBase
from graphkit.testing.strategies import datas
from graphkit.testing.suite import seed_everything


class OracleChecks(LayerBase):
    """Is it the right function? Judged by the dense oracle on one graph after another."""

    def test_dense_value_and_gradient(self) -> None:
        """Output and gradients of inputs and parameters equal the oracle's, in float64."""
        self.compare_with_dense("plain")

    def test_isolated_nodes(self) -> None:
        """Nodes without any edge get the oracle's value, and the last one is not dropped."""
        self.compare_with_dense("isolated")

    def test_self_loops(self) -> None:
        """Self loops in the middle of the edge list."""
        self.compare_with_dense("self_loops")
        self.compare_with_dense("single_loop")

    def test_duplicate_edges(self) -> None:
        """Each copy of an edge counts as an edge."""
        self.compare_with_dense("duplicates")

    def test_no_edges(self) -> None:
        """Nodes without a single edge among them."""
        self.compare_with_dense("no_edges")

    def test_single_node(self) -> None:
        """One node, no edge."""
        self.compare_with_dense("single_node")

    def test_random_graphs(self) -> None:
        """The oracle's value on graphs drawn by hypothesis, shrunk to a small one on failure."""
        layer = self.build()
        graphs = datas(
            min_nodes=1,
            self_loops="self_loops" not in self.not_claimed,
            duplicates="duplicate_edges" not in self.not_claimed,
            undirected=not self.directed,
        )

        @settings(max_examples=20, deadline=None, derandomize=True, database=None)
        @given(graphs)
        def agrees(data: Data) -> None:
            seed_everything()
            x = self.features(data.num_nodes)
            extra = self.edge_inputs(data.edge_index, x.dtype)
            expected = self.dense_reference(layer, x, data.edge_index, **extra)
            what = f"outputs on {data.num_nodes} nodes with edges {data.edge_index.t().tolist()}"
            assert_close(self.call(layer, x, data.edge_index, **extra), expected, what)

        agrees()

    def test_empty_graph(self) -> None:
        """No nodes at all: an output of no rows and the right width."""
        layer = self.build()
        width = self.call(layer, *self._plain()).shape[1:]
        x, edge_index, extra = self.sample("no_nodes")
        out = self.call(layer, x, edge_index, **extra)
        assert out.shape == (0, *width), f"expected {(0, *width)}, got {tuple(out.shape)}"

    def test_float32(self) -> None:
        """float32 in, float32 out, and equal to the oracle within its precision."""
        self.compare_with_dense("plain", torch.float32)
        self._keeps_type(torch.float32)

    def test_bfloat16(self) -> None:
        """bfloat16 in, bfloat16 out, near the float64 output of the same parameters."""
        self._keeps_type(torch.bfloat16)
        layer = self.build(torch.bfloat16)
        x, edge_index, extra = self.sample(dtype=torch.bfloat16)
        out = self.call(layer, x, edge_index, **extra)
        wide = {k: v.double() if v.is_floating_point() else v for k, v in extra.items()}
        assert_close(out, self.call(layer.double(), x.double(), edge_index, **wide), "outputs")

    def test_gradcheck(self) -> None:
        """The gradient agrees with finite differences, in float64."""
        layer = self.build()
        x, edge_index, extra = self.sample("self_loops")
        names = [name for name, p in layer.named_parameters() if p.requires_grad]
        values = [
            p.detach().clone().requires_grad_() for p in layer.parameters() if p.requires_grad
        ]

        def function(x: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
            holder = CalledBy(self, layer)
            named = {f"layer.{n}": p for n, p in zip(names, parameters, strict=True)}
            return torch.func.functional_call(holder, named, (x, edge_index, extra))

        assert torch.autograd.gradcheck(function, (x.requires_grad_(), *values), fast_mode=True)

    def _plain(self) -> tuple[torch.Tensor, torch.Tensor]:
        x, edge_index, _ = self.sample("plain")
        return x, edge_index

    def _keeps_type(self, dtype: torch.dtype) -> None:
        layer = self.build(dtype)
        x, edge_index, extra = self.sample(dtype=dtype)
        out = self.call(layer, x, edge_index, **extra)
        assert out.dtype == dtype, f"{dtype} went in and {out.dtype} came out"
