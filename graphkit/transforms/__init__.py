"""Transforms of PyG data objects."""

from graphkit.transforms.add_shortest_paths import AddShortestPaths, paths_of
from graphkit.transforms.skeleton_base import SkeletonTransform
from graphkit.transforms.skeleton_frames import (
    PadByRepetition,
    UniformSampleFrames,
    repeated_frames,
    uniform_frames,
)
from graphkit.transforms.skeleton_fusion import fuse_scores
from graphkit.transforms.skeleton_normalize import SkeletonNormalize
from graphkit.transforms.skeleton_rotation import RandomSkeletonRotation
from graphkit.transforms.skeleton_streams import STREAMS, SkeletonStream

__all__ = [
    "STREAMS",
    "AddShortestPaths",
    "PadByRepetition",
    "RandomSkeletonRotation",
    "SkeletonNormalize",
    "SkeletonStream",
    "SkeletonTransform",
    "UniformSampleFrames",
    "fuse_scores",
    "paths_of",
    "repeated_frames",
    "uniform_frames",
]
