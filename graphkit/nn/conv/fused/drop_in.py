"""Base of the layers that stand in the place of PyG's."""

from __future__ import annotations

from graphkit.nn.fast_path import FastPath
from graphkit.nn.hooks import is_heard

__all__ = ["DropIn"]


class DropIn(FastPath):
    """A layer whose every call of a module PyG's layer makes, too, and that hooks hear like it.

    The kernel calls no aggregation: while a hook of any kind would hear it, one on all modules
    among them, the PyG layer serves the call.
    """

    def may_be_fast(self) -> bool:
        """Whether the kernel may serve a call, and no hook would miss the aggregation."""
        return not is_heard(self.aggr_module) and super().may_be_fast()
