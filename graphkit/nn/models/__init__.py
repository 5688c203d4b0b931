"""Whole models."""

from graphkit.nn.models.dgcnn import DGCNN
from graphkit.nn.models.spagan import SPAGAN

__all__ = ["DGCNN", "SPAGAN"]
