"""What is not a graph goes in, an ordinary PyG graph comes out; by what the nodes are."""

from graphkit.adapters.builders import (
    bipartite_edges,
    chain_edges,
    channel_responses,
    complete_edges,
    correlation_edges,
    grid_edges,
    knn_edges,
    lattice_edges,
)
from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.adapters.models import (
    ChannelGraphAdapter,
    CommonSpaceGraphAdapter,
    DisagreementGraphAdapter,
    GraftLatticeAdapter,
    LabelGraphAdapter,
    TrustGraphAdapter,
    TwoSampleGraphAdapter,
    graft_order,
)
<<<<<<< HEAD
from graphkit.adapters.moments import (
    AlignmentGraphAdapter,
    LatticeGraphAdapter,
    LexiconGraphAdapter,
    ProposalGraphAdapter,
    TrackGraphAdapter,
    TrackingAdapter,
)
from graphkit.adapters.parts import (
    CoadaptationGraphAdapter,
    FaceGraphAdapter,
    ObjectGraphAdapter,
    PatchGraphAdapter,
)
from graphkit.adapters.samples import (
    CoassociationGraphAdapter,
    EpisodeGraphAdapter,
    ImpressionGraphAdapter,
    OrbitGraphAdapter,
    PseudoLabelGraphAdapter,
    TwoViewGraphAdapter,
    orbit_energy,
)

__all__ = [
    "AlignmentGraphAdapter",
=======
from graphkit.adapters.moments import ProposalGraphAdapter, TrackGraphAdapter, TrackingAdapter
from graphkit.adapters.parts import CoadaptationGraphAdapter, ObjectGraphAdapter, PatchGraphAdapter
from graphkit.adapters.samples import (
    CausalPairGraphAdapter,
    EpisodeGraphAdapter,
    ImpressionGraphAdapter,
)

__all__ = [
    "CausalPairGraphAdapter",
>>>>>>> 178e493 (CausalAdv (M and T) by QR, PGD on images and nodes, ensemble of attacks, causal pair graph, protocols; GroupMoments)
    "ChannelGraphAdapter",
    "CoadaptationGraphAdapter",
    "CoassociationGraphAdapter",
    "CommonSpaceGraphAdapter",
    "DisagreementGraphAdapter",
    "EpisodeGraphAdapter",
    "FaceGraphAdapter",
    "GraftLatticeAdapter",
    "GraphAdapter",
    "ImpressionGraphAdapter",
    "LabelGraphAdapter",
    "LatticeGraphAdapter",
    "LexiconGraphAdapter",
    "ObjectGraphAdapter",
    "OrbitGraphAdapter",
    "PatchGraphAdapter",
    "ProposalGraphAdapter",
    "PseudoLabelGraphAdapter",
    "Schema",
    "TrackGraphAdapter",
    "TrackingAdapter",
    "TrustGraphAdapter",
    "TwoSampleGraphAdapter",
    "TwoViewGraphAdapter",
    "bipartite_edges",
    "chain_edges",
    "channel_responses",
    "complete_edges",
    "correlation_edges",
    "graft_order",
    "grid_edges",
    "knn_edges",
    "lattice_edges",
    "orbit_energy",
]
