"""Sparse kernels: the ground floor that every layer stands on.

``edge_index[0]`` holds sources, ``edge_index[1]`` targets, sums land on the target, heads are a
dimension. Importing this package compiles nothing.
"""

from graphkit.ops.additive_attention import gatv2_attention
from graphkit.ops.attention import gat_attention
from graphkit.ops.backends import active_backend, backend
from graphkit.ops.edge_gather import gather
from graphkit.ops.edge_products import sddmm
from graphkit.ops.layout.memo import clear_cache
from graphkit.ops.paths.shortest_paths import PathIndex, shortest_paths
from graphkit.ops.product_attention import dot_attention
from graphkit.ops.segment import segment_reduce
from graphkit.ops.softmax import edge_softmax, segment_softmax
from graphkit.ops.weighted_sum import spmm

__all__ = [
    "PathIndex",
    "active_backend",
    "backend",
    "clear_cache",
    "dot_attention",
    "edge_softmax",
    "gat_attention",
    "gather",
    "gatv2_attention",
    "sddmm",
    "segment_reduce",
    "segment_softmax",
    "shortest_paths",
    "spmm",
]
