"""Checks of the other forms that PyG gives to inputs: pairs, sizes, sparse adjacencies."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch_geometric.utils import to_torch_coo_tensor, to_torch_csr_tensor

from graphkit.testing.asserts import assert_close, assert_raises_naming
from graphkit.testing.layer.base import LayerBase

REFUSALS = (TypeError, ValueError, NotImplementedError)


class FormChecks(LayerBase):
    """Are other forms of the same graph the same graph, or refused by name?"""

    def test_pair(self) -> None:
        """A pair of the same features twice is these features, or refused as ``x``."""
        layer = self.build()
        x, edge_index, extra = self.sample()
        expected = self.call(layer, x, edge_index, **extra)
        out = self._or_refused("x", lambda: layer((x, x), edge_index, **extra))
        if out is not None:
            assert_close(out, expected, "outputs of a pair of the same features")

    def test_two_sets(self) -> None:
        """Sources and targets of two sets are those of the union of both, or refused as ``x``.

        The union has the edges in both directions, so that it says all a layer for undirected
        graphs may ask.
        """
        has_loops = hasattr(self.make(), "add_self_loops")
        layer = self.build(add_self_loops=False) if has_loops else self.build()
        _, edge_index, extra = self.sample()
        sources, targets = self.features(6), self.features(8)
        out = self._or_refused("x", lambda: layer((sources, targets), edge_index, **extra))
        if out is None:
            return
        across = edge_index + torch.tensor([[0], [6]])
        both = torch.cat([across, across.flip(0)], dim=1)
        twice = {name: torch.cat([value, value]) for name, value in extra.items()}
        union = self.call(layer, torch.cat([sources, targets]), both, **twice)
        assert_close(out, union[6:], "outputs at the targets of two sets")

    def test_size(self) -> None:
        """The right ``size`` changes nothing and a wrong one is refused, or both are."""
        layer = self.build()
        x, edge_index, extra = self.sample()
        count = x.size(0)
        expected = self.call(layer, x, edge_index, **extra)
        given = self._or_refused("size", lambda: layer(x, edge_index, size=(count, count), **extra))
        if given is not None:
            assert_close(given, expected, "outputs with the right size")
            assert_raises_naming(
                lambda: layer(x, edge_index, size=(count, count + 1), **extra), "size", REFUSALS
            )

    def test_sparse_adjacency(self) -> None:
        """A transposed sparse adjacency is the graph of its entries, or refused by name."""
        layer = self.build()
        for name in ("plain", "self_loops", "no_edges"):
            x, edge_index, extra = self.sample(name)
            # The adjacency sorts its entries by target, so further inputs have to come sorted.
            order = (edge_index[1] * x.size(0) + edge_index[0]).argsort()
            edge_index, extra = edge_index[:, order], {k: v[order] for k, v in extra.items()}
            expected = self.call(layer, x, edge_index, **extra)
            for build in (to_torch_coo_tensor, to_torch_csr_tensor):
                with warnings.catch_warnings():
                    # PyTorch and PyG say once that this is in beta, or slower than need be.
                    warnings.simplefilter("ignore")
                    ones = x.new_ones(edge_index.size(1))
                    adjacency = build(edge_index.flip(0), ones, size=x.size(0))
                    call = partial(self.call, layer, x, adjacency, **extra)
                    out = self._or_refused("edge_index", call)
                if out is not None:
                    assert_close(out, expected, f"{name}: outputs of a sparse adjacency")

    def _or_refused(self, name: str, call: Callable[[], Tensor]) -> Tensor | None:
        """The output, or nothing if the call was refused by the argument's name."""
        try:
            out = call()
        except REFUSALS as error:
            if re.search(rf"\b{name}\b", str(error)) is None:
                raise AssertionError(f"the refusal does not name '{name}': {error!r}") from error
            return None
        return out[0] if isinstance(out, tuple) else out
