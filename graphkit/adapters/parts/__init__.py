"""Adapters whose nodes are parts: blocks of feature maps, objects in an image."""

from graphkit.adapters.parts.patch_reordering import PatchGraphAdapter

__all__ = ["PatchGraphAdapter"]
