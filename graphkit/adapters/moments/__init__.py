"""Adapters whose nodes are moments: objects in frames, segments of time."""

from graphkit.adapters.moments.gtan import ProposalGraphAdapter
from graphkit.adapters.moments.tracking_by_counting import TrackGraphAdapter, TrackingAdapter

__all__ = ["ProposalGraphAdapter", "TrackGraphAdapter", "TrackingAdapter"]
