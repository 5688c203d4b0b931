"""Transforms of PyG data objects."""

from graphkit.transforms.add_shortest_paths import AddShortestPaths, paths_of

__all__ = ["AddShortestPaths", "paths_of"]
