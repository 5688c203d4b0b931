"""Checks of the keywords that every message-passing layer takes: honoured, or refused by name."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn

from graphkit.testing.asserts import assert_close, assert_raises_naming
from graphkit.testing.layer.base import LayerBase

REFUSALS = (TypeError, ValueError, NotImplementedError)


class KeywordChecks(LayerBase):
    """Is no keyword taken and ignored?"""

    def test_flow(self) -> None:
        """``flow="target_to_source"`` on turned edges is the layer on the edges, or refused."""
        layer = self.build()
        for name in ("plain", "self_loops"):
            x, edge_index, extra = self.sample(name)
            turned = edge_index.flip(0)
            against = self._honoured(x, turned, extra, flow="target_to_source")
            if against is None:
                return
            expected = self.call(layer, x, edge_index, **extra)
            out = self.call(against, x, turned, **extra)
            assert_close(out, expected, f"{name}: outputs against the flow of turned edges")

    def test_aggregation(self) -> None:
        """``aggr="max"`` and ``aggr="min"`` give different outputs, or are refused."""
        self._matters("aggr", {"aggr": "max"}, {"aggr": "min"})

    def test_aggregation_options(self) -> None:
        """``aggr_kwargs`` reach the aggregation, or are refused."""
        options = [{"aggr": "softmax", "aggr_kwargs": {"t": t}} for t in (0.1, 8.0)]
        self._matters("aggr_kwargs", *options)

    def test_unknown_keyword(self) -> None:
        """A keyword that nobody knows is a :class:`TypeError` that names it."""
        assert_raises_naming(
            lambda: self.build(nobody_knows_this=1), "nobody_knows_this", (TypeError,)
        )

    def test_layout_keywords(self) -> None:
        """``node_dim`` and ``decomposed_layers`` change no value, or are refused."""
        x, edge_index, extra = self.sample()
        expected = self.call(self.build(), x, edge_index, **extra)
        for change in ({"decomposed_layers": 2}, {"node_dim": 0}):
            layer = self._honoured(x, edge_index, extra, **change)
            if layer is not None:
                out = self.call(layer, x, edge_index, **extra)
                assert_close(out, expected, f"outputs with {change} and without")

    def _honoured(
        self, x: Tensor, edge_index: Tensor, extra: dict[str, Tensor], **changes: Any
    ) -> nn.Module | None:
        """The layer with further keywords, or nothing if it refuses one of them by name."""
        try:
            layer = self.build(**changes)
            self.call(layer, x, edge_index, **extra)
        except REFUSALS as error:
            if not any(re.search(rf"\b{name}\b", str(error)) for name in changes):
                raise AssertionError(f"the refusal of {changes} names none of them") from error
            return None
        return layer

    def _matters(self, name: str, first: dict[str, Any], second: dict[str, Any]) -> None:
        x, edge_index, extra = self.sample()
        outputs = []
        for option in (first, second):
            layer = self._honoured(x, edge_index, extra, **option)
            if layer is None:
                return
            outputs.append(self.call(layer, x, edge_index, **extra))
        one, other = outputs
        same = one.shape == other.shape and torch.equal(one, other)
        assert not same, f"'{name}' is taken and ignored: {first} and {second} give one output"
