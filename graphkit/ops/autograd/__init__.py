"""What PyTorch differentiates: sums, softmax, attention."""

# fingerprint: as graphkit.ops.reference
