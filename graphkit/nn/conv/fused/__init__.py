"""PyG's attention layers on graphkit's kernels."""
