"""The numba backend."""

# fingerprint: as graphkit.ops.reference
