"""Adapters whose nodes are samples: images of a task or of a data set."""

from graphkit.adapters.samples.class_regularization import EpisodeGraphAdapter
from graphkit.adapters.samples.impression_space import ImpressionGraphAdapter

__all__ = ["EpisodeGraphAdapter", "ImpressionGraphAdapter"]
