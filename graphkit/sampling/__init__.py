"""Mini-batches of graphs that are too large for one step, with nothing but pip."""

from graphkit.sampling.cluster_data import ClusterData, ClusterLoader
from graphkit.sampling.link_neighbor_loader import LinkNeighborLoader
from graphkit.sampling.neighbor_loader import NeighborLoader
from graphkit.sampling.neighbor_sampler import NeighborSampler
from graphkit.sampling.partitions import partition
from graphkit.sampling.path_sampler import PathLoader, PathSampler
from graphkit.sampling.saint import GraphSAINTRandomWalkSampler

__all__ = [
    "ClusterData",
    "ClusterLoader",
    "GraphSAINTRandomWalkSampler",
    "LinkNeighborLoader",
    "NeighborLoader",
    "NeighborSampler",
    "PathLoader",
    "PathSampler",
    "partition",
]
