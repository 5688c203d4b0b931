"""Checks of symmetry and locality: names, order, batches, reach."""

from __future__ import annotations

from functools import partial

import torch
from torch_geometric import EdgeIndex

from graphkit.testing.asserts import (
    assert_close,
    assert_edge_order_invariant,
    assert_permutation_equivariant,
    jacobian_support,
    reachable,
)
from graphkit.testing.graphs import disjoint_union
from graphkit.testing.layer.base import LayerBase

BATCH = ("plain", "other", "single_node", "self_loops")


class SymmetryChecks(LayerBase):
    """Does it treat a graph as a graph, and several graphs as several?"""

    def test_node_permutation(self) -> None:
        """Renaming nodes renames rows of the output."""
        layer = self.build()
        x, edge_index, extra = self.sample("plain")
        assert_permutation_equivariant(partial(self.call, layer), x, edge_index, **extra)

    def test_edge_order(self) -> None:
        """The order of edges does not matter."""
        layer = self.build()
        x, edge_index, extra = self.sample("self_loops")
        assert_edge_order_invariant(partial(self.call, layer), x, edge_index, **extra)

    def test_batch_equals_loop(self) -> None:
        """A disjoint union gives the outputs of its graphs one after another."""
        layer = self.build()
        graphs = [self.sample(name) for name in BATCH]
        x, edge_index, _ = disjoint_union([(x, edges) for x, edges, _ in graphs])
        extra = {k: torch.cat([e[k] for _, _, e in graphs]) for k in graphs[0][2]}
        one_by_one = [self.call(layer, x, edges, **e) for x, edges, e in graphs]
        assert_close(self.call(layer, x, edge_index, **extra), torch.cat(one_by_one), "outputs")

    def test_cross_graph_gradient(self) -> None:
        """Outputs of one graph have an exactly zero gradient in the features of another."""
        layer = self.build()
        graphs = [self.sample(name) for name in BATCH]
        x, edge_index, batch = disjoint_union([(x, edges) for x, edges, _ in graphs])
        extra = {k: torch.cat([e[k] for _, _, e in graphs]) for k in graphs[0][2]}
        support = jacobian_support(partial(self.call, layer), x, edge_index, **extra)
        leaks = support & (batch[:, None] != batch[None, :])
        assert not leaks.any(), f"(output, input) nodes of different graphs: {leaks.nonzero()}"

    def test_receptive_field(self) -> None:
        """Each node hears its in-neighbours and nobody beyond :attr:`hops` edges upstream."""
        layer = self.build()
        for name in ("chain", "plain"):
            x, edge_index, extra = self.sample(name)
            support = jacobian_support(partial(self.call, layer), x, edge_index, **extra)
            heard = torch.zeros_like(support)
            heard[edge_index[1], edge_index[0]] = True
            deaf = (heard & ~support).nonzero()
            assert not deaf.numel(), f"{name}: no gradient along edges (target, source) {deaf}"
            if self.hops is not None:
                far = (support & ~reachable(edge_index, x.size(0), self.hops)).nonzero()
                assert not far.numel(), (
                    f"{name}: (output, input) pairs more than {self.hops} edges apart: {far}"
                )

    def test_static_batch(self) -> None:
        """Features ``[B, N, F]`` on one ``edge_index`` equal the union of ``B`` copies."""
        layer = self.build()
        _, edge_index, extra = self.sample("self_loops")
        x = torch.stack([self.features(4) for _ in range(3)])
        _, edges, _ = disjoint_union([(one, edge_index) for one in x])
        copies = {k: v.repeat(3, *[1] * (v.dim() - 1)) for k, v in extra.items()}

        def union(x: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
            return self.call(layer, x.flatten(0, 1), edges, **copies).unflatten(0, (3, 4))

        self.compare(layer, x, edge_index, extra, other=union)

    def test_edge_index_class(self) -> None:
        """:class:`torch_geometric.EdgeIndex`, unsorted or sorted, equals the plain tensor."""
        layer = self.build()
        for name in ("plain", "self_loops", "no_edges"):
            x, edge_index, extra = self.sample(name)
            size = (x.size(0), x.size(0))
            expected = self.call(layer, x, edge_index, **extra)
            unsorted = EdgeIndex(edge_index, sparse_size=size)
            assert_close(self.call(layer, x, unsorted, **extra), expected, "EdgeIndex outputs")
            for by in ("row", "col"):
                ordered, order = unsorted.sort_by(by)
                moved = {k: v if order is None else v[order] for k, v in extra.items()}
                out = self.call(layer, x, ordered, **moved)
                assert_close(out, expected, f"outputs with an EdgeIndex sorted by {by}")
