"""An ``edge_index`` as sorted views, kept with the tensor."""

# fingerprint: as graphkit.ops.reference
