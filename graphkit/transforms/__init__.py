"""Transforms of PyG data objects."""

__all__: list[str] = []
