"""Checks of edges used again: what a layer keeps with them must not outlive its truth."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphkit.testing.asserts import assert_close
from graphkit.testing.layer.base import LayerBase


class ReuseChecks(LayerBase):
    """Does a call depend on its arguments alone, whatever was called before?

    Layers may keep what they work out about edges. Every call must give what a layer gives that
    never ran, for a copy of the edges.
    """

    def test_edges_among_other_nodes(self) -> None:
        """One edge tensor serves graphs of several sizes, smaller ones first and last."""
        layer = self.build()
        edge_index, num_nodes = self.graph("plain")
        for more in (0, 3, 1, 0):
            self._compare_with_fresh(layer, edge_index, num_nodes + more, f"{more} nodes more")

    def test_no_edges_among_no_nodes_first(self) -> None:
        """An empty edge tensor, used first without nodes, serves isolated nodes later."""
        layer = self.build()
        edge_index = torch.empty(2, 0, dtype=torch.long)
        for num_nodes in (0, 3, 0):
            self._compare_with_fresh(layer, edge_index, num_nodes, f"{num_nodes} isolated nodes")

    def test_edges_written_in_place(self) -> None:
        """A write to the edges, or to a view of them, counts from the next call on."""
        layer = self.build()
        edge_index, num_nodes = self.graph("plain")
        edge_index = edge_index.clone()
        self._compare_with_fresh(layer, edge_index, num_nodes, "edges before a write")
        renamed = torch.randperm(num_nodes)[edge_index]
        edge_index.copy_(renamed)
        self._compare_with_fresh(layer, edge_index, num_nodes, "edges after a write")
        edge_index[:, 1:].copy_(renamed[:, :-1].clone())
        self._compare_with_fresh(layer, edge_index, num_nodes, "edges after a write to a view")

    def test_views_of_one_table(self) -> None:
        """Views that share memory, and even a row, are told apart."""
        layer = self.build()
        edge_index, num_nodes = self.graph("plain")
        renamed = torch.randperm(num_nodes)[edge_index[0]]
        table = torch.stack([edge_index[0], renamed, edge_index[1]])
        half = edge_index.size(1) // 2
        views = {
            "rows 0 and 2": table[::2],
            "rows 1 and 2": table[1:],
            "rows 0 and 1": table[:2],
            "the first half": table[::2, :half],
            "the second half": table[::2, half : 2 * half],
            "every other edge": table[::2, ::2],
        }
        for name, view in views.items():
            both = view if self.directed else torch.cat([view, view.flip(0)], 1)
            self._compare_with_fresh(layer, both, num_nodes, name)

    def _compare_with_fresh(
        self, layer: nn.Module, edge_index: Tensor, num_nodes: int, what: str
    ) -> None:
        fresh = self.build()
        x, extra = self.features(num_nodes), self.edge_inputs(edge_index, torch.float64)
        leaves = [x.clone().requires_grad_() for _ in range(2)]
        out = self.call(layer, leaves[0], edge_index, **extra)
        expected = self.call(fresh, leaves[1], edge_index.clone(), **extra)
        assert_close(out, expected, f"outputs with {what}")
        gradients = [
            self.gradients(value, module, {"x": leaf})["x"]
            for value, module, leaf in zip((out, expected), (layer, fresh), leaves, strict=True)
            if value.numel()
        ]
        if gradients:
            assert_close(gradients[0], gradients[1], f"gradients with {what}")
