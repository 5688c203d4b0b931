"""Drop-in layers and whole models."""

from graphkit.nn.conv import DisenConv, FactorConv, FusedGATConv, SPAGANConv
from graphkit.nn.factor_balance import FactorBalance
from graphkit.nn.factor_discriminator import FactorDiscriminator
from graphkit.nn.models import DGCNN, SPAGAN, FactorGCN
from graphkit.nn.neighbours import NearestNeighbours, nearest_neighbours
from graphkit.nn.path_sampler import PathLoader, PathSampler
from graphkit.nn.skeleton_graph import SkeletonGraph

__all__ = [
    "DGCNN",
    "SPAGAN",
    "DisenConv",
    "FactorBalance",
    "FactorConv",
    "FactorDiscriminator",
    "FactorGCN",
    "FusedGATConv",
    "NearestNeighbours",
    "PathLoader",
    "PathSampler",
    "SPAGANConv",
    "SkeletonGraph",
    "nearest_neighbours",
]
