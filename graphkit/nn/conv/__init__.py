"""Message-passing layers."""

from graphkit.nn.conv.spagan_conv import SPAGANConv

__all__ = ["SPAGANConv"]
