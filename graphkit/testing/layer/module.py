"""Checks of the layer as a module: state, copies, pickles, resets, lazy widths, its name."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import torch
from torch import nn

from graphkit.testing.asserts import assert_close
from graphkit.testing.layer.base import LayerBase
from graphkit.testing.suite import seed_everything


class ModuleChecks(LayerBase):
    """Is it a well-behaved :class:`torch.nn.Module`?"""

    def test_state_dict_round_trip(self) -> None:
        """A fresh layer with the saved ``state_dict`` (weights only) gives the same bits."""
        layer = self.build(seed=0)
        file = io.BytesIO()
        torch.save(layer.state_dict(), file)
        file.seek(0)
        other = self.build(seed=1)
        other.load_state_dict(torch.load(file, weights_only=True), strict=True)
        self._same(layer, other, "the layer loaded from a state_dict")

    def test_deepcopy(self) -> None:
        """A deep copy, also of a layer that has run, works and shares no parameter."""
        layer = self.build()
        x, edge_index, extra = self.sample()
        self.call(layer, x, edge_index, **extra)
        clone = copy.deepcopy(layer)
        self._same(layer, clone, "the deep copy")
        mine = {p.data_ptr() for p in layer.parameters() if p.numel()}
        shared = [name for name, p in clone.named_parameters() if p.data_ptr() in mine]
        assert not shared, f"the deep copy shares {shared}"

    def test_pickle(self) -> None:
        """A pickled layer comes back and gives the same bits."""
        layer = self.build()
        self._same(layer, pickle.loads(pickle.dumps(layer)), "the unpickled layer")

    def test_reset_parameters(self) -> None:
        """``reset_parameters`` renews every parameter, and depends on the seed alone."""
        layer: Any = self.build()
        drawn: list[dict[str, torch.Tensor]] = []
        for mark in (111.0, -222.0):
            with torch.no_grad():
                for parameter in layer.parameters():
                    parameter.fill_(mark)
            seed_everything(3)
            layer.reset_parameters()
            stale = [n for n, p in layer.named_parameters() if p.numel() and (p == mark).any()]
            assert not stale, f"reset_parameters leaves {stale} untouched"
            drawn.append({n: p.detach().clone() for n, p in layer.named_parameters()})
        for name, value in drawn[0].items():
            assert_close(value, drawn[1][name], f"two seeded resets of {name}")

    def test_lazy_channels(self) -> None:
        """``in_channels=-1`` is filled in by the first call and then equals the eager layer."""
        seed_everything()
        lazy = self.make_lazy().double().eval()
        eager = self.build()
        x, edge_index, extra = self.sample()
        out = self.call(lazy, x, edge_index, **extra)
        assert out.shape == self.call(eager, x, edge_index, **extra).shape
        shapes = {name: value.shape for name, value in lazy.state_dict().items()}
        assert shapes == {name: value.shape for name, value in eager.state_dict().items()}
        lazy.load_state_dict(eager.state_dict())
        self._same(eager, lazy, "the lazily initialised layer")

    def test_repr(self) -> None:
        """``repr`` begins with the class name and shows the widths."""
        layer = self.build()
        text = repr(layer)
        assert text.startswith(type(layer).__name__ + "("), text
        for name in ("in_channels", "out_channels"):
            value = getattr(layer, name, None)
            assert value is None or str(value) in text, f"{name}={value} is not shown: {text}"

    def _same(self, layer: nn.Module, other: nn.Module, what: str) -> None:
        x, edge_index, extra = self.sample()
        expected = self.call(layer, x, edge_index, **extra)
        actual = self.call(other, x, edge_index, **extra)
        assert torch.equal(expected, actual), f"{what} gives another output"
