"""Adapters whose nodes are moments: objects in frames, segments of time."""

from graphkit.adapters.moments.tracking_by_counting import TrackGraphAdapter, TrackingAdapter

__all__ = ["TrackGraphAdapter", "TrackingAdapter"]
