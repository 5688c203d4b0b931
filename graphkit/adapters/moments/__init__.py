"""Adapters whose nodes are moments: objects in frames, segments of time."""

from graphkit.adapters.moments.cascade_seq2seq import LatticeGraphAdapter, LexiconGraphAdapter
from graphkit.adapters.moments.gtan import ProposalGraphAdapter
from graphkit.adapters.moments.libs import AlignmentGraphAdapter
from graphkit.adapters.moments.moment_context import MomentContextGraphAdapter
from graphkit.adapters.moments.tracking_by_counting import TrackGraphAdapter, TrackingAdapter

__all__ = [
    "AlignmentGraphAdapter",
    "LatticeGraphAdapter",
    "LexiconGraphAdapter",
    "MomentContextGraphAdapter",
    "ProposalGraphAdapter",
    "TrackGraphAdapter",
    "TrackingAdapter",
]
