"""Checks of what the layer does with its arguments: refusals, no mutation, repeatability."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from graphkit.testing.asserts import assert_not_mutated, assert_raises_naming
from graphkit.testing.layer.base import LayerBase

BAD_VALUE = (ValueError, IndexError)
BAD_KIND = (ValueError, TypeError)


class InputChecks(LayerBase):
    """Are wrong arguments refused by name, and right ones left alone?"""

    def test_refuses_wrong_width(self) -> None:
        """Node features with another number of channels."""
        x, edge_index, _ = self.sample()
        self._refused("x", x[:, :-1], edge_index, BAD_VALUE)

    def test_refuses_flat_features(self) -> None:
        """One-dimensional node features."""
        x, edge_index, _ = self.sample()
        self._refused("x", x[:, 0], edge_index, BAD_VALUE)

    def test_refuses_transposed_edge_index(self) -> None:
        """An ``edge_index`` of shape ``[E, 2]``."""
        x, edge_index, _ = self.sample()
        self._refused("edge_index", x, edge_index.t().contiguous(), BAD_VALUE)

    def test_refuses_float_edge_index(self) -> None:
        """An ``edge_index`` of floating point type."""
        x, edge_index, _ = self.sample()
        self._refused("edge_index", x, edge_index.double(), BAD_KIND)

    def test_refuses_out_of_range_index(self) -> None:
        """A source or a target at or beyond the number of nodes."""
        x, edge_index, _ = self.sample()
        for row in (0, 1):
            wrong = edge_index.clone()
            wrong[row, 2] = x.size(0)
            self._refused("edge_index", x, wrong, BAD_VALUE)

    def test_refuses_negative_index(self) -> None:
        """A negative source or target; PyTorch would count it from the end."""
        x, edge_index, _ = self.sample()
        for row in (0, 1):
            wrong = edge_index.clone()
            wrong[row, 2] = -1
            self._refused("edge_index", x, wrong, BAD_VALUE)

    def test_refuses_what_is_no_tensor(self) -> None:
        """Features, edges or a further argument as an array of NumPy's or a word."""
        x, edge_index, extra = self.sample()
        layer = self.build()
        given: dict[str, Any] = {"x": x, "edge_index": edge_index, **extra}
        for name in [name for name, value in given.items() if isinstance(value, torch.Tensor)]:
            for wrong in (given[name].numpy(), "words"):
                changed: dict[str, Any] = {**given, name: wrong}
                call = partial(self.call, layer, changed.pop("x"), changed.pop("edge_index"))
                assert_raises_naming(partial(call, **changed), name, BAD_KIND)

    def test_input_not_mutated(self) -> None:
        """Forward and backward leave every input as it was, in eval and in train mode."""
        for training in (False, True):
            layer = self.build().train(training)
            x, edge_index, extra = self.sample("self_loops")
            leaf = x.clone().requires_grad_()
            with assert_not_mutated(x=leaf, edge_index=edge_index, **extra):
                self.call(layer, leaf * 1, edge_index, **extra).sum().backward()
            with assert_not_mutated(x=x, edge_index=edge_index, **extra), torch.no_grad():
                self.call(layer, x, edge_index, **extra)

    def test_eval_repeatable(self) -> None:
        """In eval mode a second call gives the same bits and changes no parameter or buffer."""
        layer = self.build()
        x, edge_index, extra = self.sample()
        before = {name: value.clone() for name, value in layer.state_dict().items()}
        first = self.call(layer, x, edge_index, **extra)
        second = self.call(layer, x, edge_index, **extra)
        assert torch.equal(first, second), "two calls in eval mode differ"
        for name, value in layer.state_dict().items():
            assert torch.equal(value, before[name]), f"a call in eval mode changed {name}"

    def test_train_seeded(self) -> None:
        """In train mode the same seed gives the same bits."""
        outputs = []
        for _ in range(2):
            layer = self.build().train()
            x, edge_index, extra = self.sample()
            torch.manual_seed(5)
            outputs.append(self.call(layer, x, edge_index, **extra))
        assert torch.equal(*outputs), "two calls in train mode with one seed differ"

    def test_modes(self) -> None:
        """A call in train mode in between leaves the eval output as it was, up to statistics."""
        layer = self.build()
        x, edge_index, extra = self.sample()
        state = {name: value.clone() for name, value in layer.state_dict().items()}
        before = self.call(layer, x, edge_index, **extra)
        self.call(layer.train(), x, edge_index, **extra)
        assert layer.training, "the call switched train mode off"
        layer.load_state_dict(state)
        after = self.call(layer.eval(), x, edge_index, **extra)
        assert torch.equal(before, after), "a call in train mode changed the eval output"

    def _refused(
        self,
        name: str,
        x: torch.Tensor,
        edge_index: torch.Tensor,
        kinds: tuple[type[BaseException], ...],
    ) -> None:
        layer = self.build()
        _, _, extra = self.sample()
        assert_raises_naming(lambda: self.call(layer, x, edge_index, **extra), name, kinds)
