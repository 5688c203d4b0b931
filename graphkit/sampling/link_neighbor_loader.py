"""Mini-batches of edges, and of edges that are not there, with sampled neighbourhoods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch_geometric.data import Data, FeatureStore, GraphStore, HeteroData
from torch_geometric.loader import LinkLoader
from torch_geometric.sampler import BaseSampler, NegativeSampling
from torch_geometric.sampler.base import SubgraphType

from graphkit.catalog import method
from graphkit.sampling.neighbor_sampler import CARD
from graphkit.sampling.passes import SeededPasses, check_type, sampler_of


@method(
    takes="a graph and seed edges",
    gives="batches with the edges' ends and negatives, as PyG's loader gives",
    verified_by="tests/sampling/test_link_neighbor_loader.py",
    **CARD,
)
class LinkNeighborLoader(SeededPasses, LinkLoader):
    r"""PyG's :class:`~torch_geometric.loader.LinkNeighborLoader` without pyg-lib, for links in the
    way of the `"Inductive Representation Learning on Large Graphs"
    <https://arxiv.org/abs/1706.02216>`_ paper.

    .. math::
        \mathcal{V}_0 = \{ u, v : (u, v) \in \mathcal{S}_t \} \cup
        \{ u', v' : (u', v') \text{ drawn as negatives} \}

    Arguments and batches are PyG's, so that a script changes one import; see there for their
    meaning, :class:`NeighborSampler` for how neighbours are drawn and :class:`NeighborLoader` for
    what fixes them. Negatives are PyG's: random pairs (``"binary"``) or targets (``"triplet"``),
    not later than their link where nodes have times; an edge of the graph may be among them.

    Args:
        data (Data, HeteroData or (FeatureStore, GraphStore)): The graph.
        num_neighbors (list of int or dict): Neighbours per hop, :obj:`-1` for all.
        edge_label_index (torch.Tensor or tuple, optional): Seed edges. (default: all edges of a
            :obj:`Data`; others need to be told)
        edge_label, edge_label_time (torch.Tensor, optional): Their labels and times.
        replace, subgraph_type, disjoint, temporal_strategy: As in :class:`NeighborSampler`.
        time_attr, weight_attr, is_sorted, directed: As there, too.
        neg_sampling (NegativeSampling or str, optional): How to draw negatives.
        neg_sampling_ratio (float, optional): PyG's old word for binary negatives.
        transform, transform_sampler_output (callable, optional): Applied to a batch, and to the
            sampler's output.
        filter_per_worker (bool, optional): Gather features in the workers.
        neighbor_sampler (BaseSampler, optional): A sampler to use instead.
        **kwargs (optional): Arguments of :class:`torch.utils.data.DataLoader`.

    Shapes:
        - **input:** a graph, seed edges :math:`(2, S)`
        - **output:** graphs with ``edge_label_index`` and ``edge_label``, or with ``src_index``,
          ``dst_pos_index`` and ``dst_neg_index``

    Raises:
        ValueError: If only one of :obj:`edge_label_time` and :obj:`time_attr` is given, if
            :obj:`edge_label_index` is missing or of a type that the graph has not, and as
            :class:`NeighborSampler`.

    Example:
        >>> from torch_geometric.datasets import KarateClub
        >>> from graphkit.sampling import LinkNeighborLoader
        >>> data = KarateClub()[0]
        >>> loader = LinkNeighborLoader(data, [3, 2], neg_sampling="binary", batch_size=52)
        >>> [tuple(batch.edge_label_index.shape) for batch in loader]
        [(2, 104), (2, 104), (2, 104)]
    """

    def __init__(
        self,
        data: Data | HeteroData | tuple[FeatureStore, GraphStore],
        num_neighbors: Any,
        edge_label_index: Any = None,
        edge_label: Tensor | None = None,
        edge_label_time: Tensor | None = None,
        replace: bool = False,
        subgraph_type: SubgraphType | str = "directional",
        disjoint: bool = False,
        temporal_strategy: str = "uniform",
        neg_sampling: NegativeSampling | str | None = None,
        neg_sampling_ratio: float | None = None,
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
        if (edge_label_time is not None) != (time_attr is not None):
            given, other = ("edge_label_time", "time_attr")[:: 1 if time_attr is None else -1]
            raise ValueError(f"'{given}' is given, but '{other}' is not: times need both")
        check_type(data, edge_label_index, "edge_label_index")
        super().__init__(
            data=data,
            link_sampler=sampler_of(arguments),
            edge_label_index=edge_label_index,
            edge_label=edge_label,
            edge_label_time=edge_label_time,
            neg_sampling=neg_sampling,
            neg_sampling_ratio=neg_sampling_ratio,
            transform=transform,
            transform_sampler_output=transform_sampler_output,
            filter_per_worker=filter_per_worker,
            **kwargs,
        )

    def drawing_sampler(self) -> Any:
        return self.link_sampler
