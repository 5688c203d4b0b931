"""Shortest paths as attributes of a graph."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from graphkit.catalog import method
from graphkit.ops import shortest_paths

PREFIX = "path_index_"


@method(
    paper="arXiv:2101.03464",
    title="SPAGAN: Shortest Path Graph Attention Network",
    authors="Yiding Yang, Xinchao Wang, Mingli Song, Junsong Yuan, Dacheng Tao",
    venue="IJCAI 2019",
    year=2019,
    code="https://github.com/ihollywhy/SPAGAN",
    licence="none",
    takes="Data with edges, and costs if they are not all alike",
    gives="the same Data with the cheapest paths of three and more nodes",
)
@functional_transform("add_shortest_paths")
class AddShortestPaths(BaseTransform):
    r"""Adds the paths that the `"SPAGAN: Shortest Path Graph Attention Network"
    <https://arxiv.org/abs/2101.03464>`_ paper attends to.

    .. math::
        \mathcal{P}^c_i = \operatorname{top}_{\lfloor r d_i \rfloor}
        \{ \text{cheapest paths of } c \text{ nodes from } i \}

    For :math:`c = 3, \ldots` :obj:`max_nodes` the transform sets
    ``data.path_index_c`` of shape ``[c, P]``, centre first: rows of nodes like those of
    ``edge_index``, so that PyG's loaders shift and join them in batches.  Paths run from the
    receiving node against the direction of the edges.  :func:`paths_of` turns them into
    what :class:`graphkit.nn.SPAGANConv` takes.  :class:`~torch_geometric.data.HeteroData`
    passes through as it is.  Time and memory are those of
    :func:`graphkit.ops.shortest_paths`.

    Args:
        max_nodes (int, optional): Most nodes on a path. (default: :obj:`3`)
        ratio (float, optional): Paths kept per node and length, as a share of its degree.
            (default: :obj:`0.5`)
        method (str, optional): :obj:`"hop"` or :obj:`"exact"`. (default: :obj:`"hop"`)
        cost (str, optional): Name of the attribute that holds edge costs ``[E]``; every
            edge costs 1 without. (default: :obj:`None`)

    Shapes:
        - **input:** edges :math:`(2, E)`, costs :math:`(E)`
        - **output:** ``path_index_c`` of shape :math:`(c, P_c)`

    Raises:
        ValueError: If the graph has no edges tensor or no attribute called :obj:`cost`.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from graphkit.transforms import AddShortestPaths
        >>> data = Data(edge_index=torch.tensor([[1, 2], [0, 1]]), num_nodes=3)
        >>> AddShortestPaths(ratio=1.0)(data).path_index_3.tolist()
        [[0], [1], [2]]
    """

    def __init__(
        self,
        max_nodes: int = 3,
        ratio: float = 0.5,
        method: Literal["hop", "exact"] = "hop",
        cost: str | None = None,
    ) -> None:
        self.max_nodes, self.ratio, self.method, self.cost = max_nodes, ratio, method, cost

    def forward(self, data: Any) -> Any:
        """Adds the paths to a :class:`~torch_geometric.data.Data`."""
        if not isinstance(data, Data):
            return data
        if data.edge_index is None:
            raise ValueError("'data' has no edge_index; adjacencies need T.ToEdgeIndex first")
        if self.cost is not None and self.cost not in data:
            raise ValueError(f"'data' has no attribute '{self.cost}'; it has {data.keys()}")
        cost = None if self.cost is None else data[self.cost]
        paths_of = shortest_paths(
            data.edge_index.flip(0),
            cost,
            self.max_nodes,
            self.ratio,
            self.method,
            num_nodes=data.num_nodes,
        )
        for length, paths in paths_of.items():
            if length > 2:
                data[f"{PREFIX}{length}"] = paths.t().contiguous()
        return data

    def __repr__(self) -> str:
        return f"{type(self).__name__}(max_nodes={self.max_nodes}, ratio={self.ratio})"


def paths_of(data: Data) -> dict[int, Tensor]:
    """The paths that :class:`AddShortestPaths` or a loader put into a graph, as ``{c: [P, c]}``.

    Args:
        data (Data): A graph or a batch.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> paths_of(Data(path_index_3=torch.tensor([[0], [1], [2]])))
        {3: tensor([[0, 1, 2]])}
    """
    names = [name for name in data.keys() if name.startswith(PREFIX)]  # noqa: SIM118
    return {int(name.removeprefix(PREFIX)): data[name].t() for name in names}
