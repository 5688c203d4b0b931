"""Adapters whose nodes are models, or what several models make of the same samples."""

from graphkit.adapters.models.common_space_graph import CommonSpaceGraphAdapter

__all__ = ["CommonSpaceGraphAdapter"]
