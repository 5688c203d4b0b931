"""Adapters whose nodes are models, or what several models make of the same samples."""

from graphkit.adapters.models.channels import ChannelGraphAdapter
from graphkit.adapters.models.class_transfer import ClassTransferGraphAdapter
from graphkit.adapters.models.common_space_graph import CommonSpaceGraphAdapter
from graphkit.adapters.models.customised_student import TrustGraphAdapter
from graphkit.adapters.models.disagreement import DisagreementGraphAdapter
from graphkit.adapters.models.graft_lattice import GraftLatticeAdapter, graft_order
from graphkit.adapters.models.group_stack import AmalgamationGraphAdapter, LabelGraphAdapter
from graphkit.adapters.models.lineage_graph import LineageGraphAdapter
from graphkit.adapters.models.pruning_graph import PruningGraphAdapter
from graphkit.adapters.models.signed_graph import SignedGraphAdapter
from graphkit.adapters.models.two_sample import TwoSampleGraphAdapter

__all__ = [
    "AmalgamationGraphAdapter",
    "ChannelGraphAdapter",
    "ClassTransferGraphAdapter",
    "CommonSpaceGraphAdapter",
    "DisagreementGraphAdapter",
    "GraftLatticeAdapter",
    "LabelGraphAdapter",
    "LineageGraphAdapter",
    "PruningGraphAdapter",
    "SignedGraphAdapter",
    "TrustGraphAdapter",
    "TwoSampleGraphAdapter",
    "graft_order",
]
