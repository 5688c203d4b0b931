"""Whole models."""

from graphkit.nn.models.spagan import SPAGAN

__all__ = ["SPAGAN"]
