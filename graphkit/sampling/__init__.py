"""Mini-batches of graphs that are too large for one step, with nothing but pip."""

from graphkit.sampling.link_neighbor_loader import LinkNeighborLoader
from graphkit.sampling.neighbor_loader import NeighborLoader
from graphkit.sampling.neighbor_sampler import NeighborSampler
from graphkit.sampling.path_sampler import PathLoader, PathSampler

__all__ = [
    "LinkNeighborLoader",
    "NeighborLoader",
    "NeighborSampler",
    "PathLoader",
    "PathSampler",
]
