"""The zoo of image networks: their tasks, architectures and training."""
