"""Transforms of PyG data objects."""

from graphkit.transforms.add_shortest_paths import AddShortestPaths, paths_of
from graphkit.transforms.continuous_drop_edge import ContinuousDropEdge
from graphkit.transforms.point_graphs import KNNGraph, RadiusGraph
from graphkit.transforms.reorder_nodes import ReorderNodes, in_given_order
from graphkit.transforms.skeletons.base import SkeletonTransform
from graphkit.transforms.skeletons.frames import (
    PadByRepetition,
    UniformSampleFrames,
    repeated_frames,
    uniform_frames,
)
from graphkit.transforms.skeletons.fusion import fuse_scores
from graphkit.transforms.skeletons.normalize import SkeletonNormalize
from graphkit.transforms.skeletons.pixels import PixelNormalize
from graphkit.transforms.skeletons.rotation import RandomSkeletonRotation
from graphkit.transforms.skeletons.streams import STREAMS, SkeletonStream
from graphkit.transforms.subgraph_mixing import graph_snapmix

__all__ = [
    "STREAMS",
    "AddShortestPaths",
    "ContinuousDropEdge",
    "KNNGraph",
    "PadByRepetition",
    "PixelNormalize",
    "RadiusGraph",
    "RandomSkeletonRotation",
    "ReorderNodes",
    "SkeletonNormalize",
    "SkeletonStream",
    "SkeletonTransform",
    "UniformSampleFrames",
    "fuse_scores",
    "graph_snapmix",
    "in_given_order",
    "paths_of",
    "repeated_frames",
    "uniform_frames",
]
