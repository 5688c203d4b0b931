"""Mini-batches of nodes with sampled neighbourhoods, on a plain pip install."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch_geometric.data import Data, FeatureStore, GraphStore, HeteroData
from torch_geometric.loader import NodeLoader
from torch_geometric.sampler import BaseSampler
from torch_geometric.sampler.base import SubgraphType

from graphkit.catalog import method
from graphkit.sampling.neighbor_sampler import CARD
from graphkit.sampling.passes import SeededPasses, check_type, sampler_of


@method(
    takes="a graph and seed nodes",
    gives="batches with the seeds first, as PyG's loader gives",
    verified_by="tests/sampling/test_neighbor_loader.py",
    **CARD,
)
class NeighborLoader(SeededPasses, NodeLoader):
    r"""PyG's :class:`~torch_geometric.loader.NeighborLoader` without pyg-lib: the loader of the
    `"Inductive Representation Learning on Large Graphs" <https://arxiv.org/abs/1706.02216>`_ paper.

    .. math::
        \mathcal{B}_t = \left( \mathcal{V}_L, \mathcal{E}_1 \cup \dots \cup \mathcal{E}_L \right)
        \quad \text{behind the seeds } \mathcal{V}_0 = \mathcal{S}_t

    Arguments and batches are PyG's, so that a script changes one import; see there for their
    meaning, and :class:`NeighborSampler` for how neighbours are drawn. Every pass draws other
    neighbours, alike for any :obj:`num_workers`: they follow from :func:`torch.manual_seed`, or
    from a :obj:`generator` given to the loader.

    Args:
        data (Data, HeteroData or (FeatureStore, GraphStore)): The graph.
        num_neighbors (list of int or dict): Neighbours per hop, :obj:`-1` for all.
        input_nodes (torch.Tensor or str or (str, torch.Tensor), optional): Seeds, as indices or
            as a mask. (default: all nodes of a :obj:`Data`; others need to be told)
        input_time (torch.Tensor, optional): Times of the seeds. (default: their own)
        replace, subgraph_type, disjoint, temporal_strategy: As in :class:`NeighborSampler`.
        time_attr, weight_attr, is_sorted, directed: As there, too.
        transform, transform_sampler_output (callable, optional): Applied to a batch, and to the
            sampler's output.
        filter_per_worker (bool, optional): Gather features in the workers.
        neighbor_sampler (BaseSampler, optional): A sampler to use instead.
        **kwargs (optional): Arguments of :class:`torch.utils.data.DataLoader`.

    Shapes:
        - **input:** a graph of :math:`N` nodes
        - **output:** graphs with ``n_id``, ``e_id``, ``input_id``, ``batch_size``,
          ``num_sampled_nodes`` and ``num_sampled_edges``

    Raises:
        ValueError: If :obj:`input_time` is given without :obj:`time_attr`, if :obj:`input_nodes` is
            missing or of a type that the graph has not, and as :class:`NeighborSampler`.

    Example:
        >>> from torch_geometric.datasets import KarateClub
        >>> from graphkit.sampling import NeighborLoader
        >>> loader = NeighborLoader(KarateClub()[0], [3, 2], batch_size=8)
        >>> [batch.batch_size for batch in loader]
        [8, 8, 8, 8, 2]
    """

    def __init__(
        self,
        data: Data | HeteroData | tuple[FeatureStore, GraphStore],
        num_neighbors: Any,
        input_nodes: Any = None,
        input_time: Tensor | None = None,
        replace: bool = False,
        subgraph_type: SubgraphType | str = "directional",
        disjoint: bool = False,
        temporal_strategy: str = "uniform",
        time_attr: str | None = None,
        weight_attr: str | None = None,
        transform: Callable[..., Any] | None = None,
        transform_sampler_output: Callable[..., Any] | None = None,
        is_sorted: bool = False,
        filter_per_worker: bool | None = None,
        neighbor_sampler: BaseSampler | None = None,
        directed: bool = True,
        **kwargs: Any,
    ) -> None:
        arguments = locals()
        if input_time is not None and time_attr is None:
            raise ValueError("'input_time' is given, but 'time_attr' is not")
        check_type(data, input_nodes, "input_nodes")
        super().__init__(
            data=data,
            node_sampler=sampler_of(arguments),
            input_nodes=input_nodes,
            input_time=input_time,
            transform=transform,
            transform_sampler_output=transform_sampler_output,
            filter_per_worker=filter_per_worker,
            **kwargs,
        )

    def drawing_sampler(self) -> Any:
        return self.node_sampler
