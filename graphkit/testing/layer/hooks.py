"""Checks of PyG's hooks and of methods that a subclass writes anew: no fast path hides them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from graphkit.testing.asserts import assert_close
from graphkit.testing.layer.base import LayerBase

PARTS = ("propagate", "message", "aggregate")


class HookChecks(LayerBase):
    """Can a user who listens, or who writes a part anew, tell that there is a fast path?"""

    def test_message_hooks(self) -> None:
        """Hooks on propagate, message, aggregate and edge_update run, change nothing, and go."""
        layer = self.build()
        x, edge_index, extra = self.sample("self_loops")
        expected = self.call(layer, x, edge_index, **extra)
        for part in PARTS + self._edge_parts(layer):
            for when in ("forward_pre_hook", "forward_hook"):
                listener = mock.Mock(return_value=None)
                with _hooked(layer, f"register_{part}_{when}", listener):
                    out = self.call(layer, x, edge_index, **extra)
                assert listener.called, f"a {part} {when} never ran"
                assert_close(out, expected, f"outputs with a {part} {when} that only listens")
                again = self.call(layer, x, edge_index, **extra)
                assert torch.equal(again, expected), f"a {part} {when} left a trace"

    def test_message_hook_acts(self) -> None:
        """A hook that halves all messages does what a ``message`` written anew does."""
        layer = self.build()
        x, edge_index, extra = self.sample("self_loops")
        plain = self.call(layer, x, edge_index, **extra)
        with _hooked(layer, "register_message_forward_hook", lambda *inputs: inputs[-1] / 2):
            hooked = self.call(layer, x, edge_index, **extra)
        with _rewritten(layer, "message", lambda out: out / 2):
            rewritten = self.call(layer, x, edge_index, **extra)
        assert_close(hooked, rewritten, "outputs with halved messages, by a hook and by a subclass")
        assert not torch.equal(hooked, plain), "a hook that halves messages changes nothing"

    def test_own_methods(self) -> None:
        """A subclass's ``message``, ``aggregate``, ``update`` and ``edge_update`` are called."""
        layer = self.build()
        x, edge_index, extra = self.sample("self_loops")
        plain = self.call(layer, x, edge_index, **extra)
        for name in ("message", "aggregate", "update", *self._edge_parts(layer)):
            with _rewritten(layer, name, lambda out: out * 0.5 + 0.25):
                out = self.call(layer, x, edge_index, **extra)
            assert out.shape == plain.shape, f"{name}: {out.shape}, not {plain.shape}"
            assert not torch.equal(out, plain), f"the subclass's own '{name}' is not called"
            again = self.call(layer, x, edge_index, **extra)
            assert torch.equal(again, plain), f"the subclass's own '{name}' left a trace"

    def _edge_parts(self, layer: nn.Module) -> tuple[str, ...]:
        parts = [module for module in layer.modules() if isinstance(module, MessagePassing)]
        writes = [type(part).edge_update is not MessagePassing.edge_update for part in parts]
        return ("edge_update",) if parts and all(writes) else ()


def _message_passing(layer: nn.Module) -> list[MessagePassing]:
    parts = [module for module in layer.modules() if isinstance(module, MessagePassing)]
    assert parts, f"{type(layer).__name__} passes no messages: decline 'message' and 'own_methods'"
    return parts


@contextmanager
def _hooked(layer: nn.Module, register: str, hook: Callable) -> Iterator[None]:
    handles = [getattr(part, register)(hook) for part in _message_passing(layer)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _rewritten(layer: nn.Module, name: str, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """The layer as an instance of a subclass whose method changes what its parent's gives."""
    parts = _message_passing(layer)
    kinds = [type(part) for part in parts]
    for part, kind in zip(parts, kinds, strict=True):
        part.__class__ = type(kind.__name__, (kind,), {name: _changing(kind, name, change)})
    try:
        yield
    finally:
        for part, kind in zip(parts, kinds, strict=True):
            part.__class__ = kind


def _changing(kind: type, name: str, change: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    def method(self: MessagePassing, *args: Any, **kwargs: Any) -> Tensor:
        return change(getattr(kind, name)(self, *args, **kwargs))

    return method
