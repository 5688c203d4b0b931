"""What PyTorch differentiates: sums, softmax, attention."""
