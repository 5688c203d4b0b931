"""The triton backend."""

# fingerprint: as graphkit.ops.reference
