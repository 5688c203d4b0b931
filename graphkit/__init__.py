"""graphkit: published graph-learning methods as drop-in PyTorch Geometric parts."""

__version__ = "0.1.0"
