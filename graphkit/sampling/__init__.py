"""Mini-batches of graphs that are too large for one step, with nothing but pip."""

from graphkit.sampling.cluster_data import ClusterData, ClusterLoader
from graphkit.sampling.disk.sources import edge_table, ogb_raw
from graphkit.sampling.disk.stores import DiskFeatureStore, DiskGraphStore, open_graph
from graphkit.sampling.disk.writing import EdgeSource, GraphSource, write_graph
from graphkit.sampling.inference import layerwise
from graphkit.sampling.link_neighbor_loader import LinkNeighborLoader
from graphkit.sampling.neighbor_loader import NeighborLoader
from graphkit.sampling.neighbor_sampler import NeighborSampler
from graphkit.sampling.partitions import partition
from graphkit.sampling.path_sampler import PathLoader, PathSampler
from graphkit.sampling.saint import GraphSAINTRandomWalkSampler

__all__ = [
    "ClusterData",
    "ClusterLoader",
    "DiskFeatureStore",
    "DiskGraphStore",
    "EdgeSource",
    "GraphSAINTRandomWalkSampler",
    "GraphSource",
    "LinkNeighborLoader",
    "NeighborLoader",
    "NeighborSampler",
    "PathLoader",
    "PathSampler",
    "edge_table",
    "layerwise",
    "ogb_raw",
    "open_graph",
    "partition",
    "write_graph",
]
