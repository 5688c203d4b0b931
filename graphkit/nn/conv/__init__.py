"""Message-passing layers."""

from graphkit.nn.conv.factor_conv import FactorConv
from graphkit.nn.conv.spagan_conv import SPAGANConv

__all__ = ["FactorConv", "SPAGANConv"]
