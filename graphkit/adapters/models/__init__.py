"""Adapters whose nodes are models, or what several models make of the same samples."""

from graphkit.adapters.models.channels import ChannelGraphAdapter
from graphkit.adapters.models.common_space_graph import CommonSpaceGraphAdapter
from graphkit.adapters.models.customised_student import TrustGraphAdapter
from graphkit.adapters.models.graft_lattice import GraftLatticeAdapter, graft_order
from graphkit.adapters.models.group_stack import LabelGraphAdapter

__all__ = [
    "ChannelGraphAdapter",
    "CommonSpaceGraphAdapter",
    "GraftLatticeAdapter",
    "LabelGraphAdapter",
    "TrustGraphAdapter",
    "graft_order",
]
