"""Drop-in layers and whole models."""

from graphkit.nn.conv import SPAGANConv
from graphkit.nn.models import SPAGAN

__all__ = ["SPAGAN", "SPAGANConv"]
