"""Pre-trained models as nodes of a weighted graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit import catalog
from graphkit.plot import load_pyplot
from graphkit.transfer.attribution_graph import AttributionGraph
from graphkit.transfer.depara import combine, settled
from graphkit.transfer.model_cosines import Rows, edge_vector, node_cosines, ranks, zero_maps

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ModelSpace"]


@catalog.method(
    paper="arXiv:1909.11902",
    title="Deep Model Transferability from Attribution Maps",
    authors="Jie Song, Yixin Chen, Xinchao Wang, Chengchao Shen, Mingli Song",
    venue="NeurIPS 2019",
    year=2019,
    code="https://github.com/zju-vipa/TransferbilityFromAttributionMaps",
    licence="MIT",
    takes="attribution maps and features of many models over the same probes",
    gives="a weighted graph of models",
    deviations=[
        "clustering takes the distance 1 - s in place of the paper's 1 / s, which is no distance "
        "where similarities are negative",
        "a similarity of edges may be added, as in DEPARA",
    ],
    verified_by="tests/transfer/test_model_space.py",
    limits=[
        "zoos of several architectures: they decide there, and popularity ranks better",
        "where labels of the target are at hand: LogME and H-score choose better",
    ],
)
class ModelSpace:
    r"""The model space of the `"Deep Model Transferability from Attribution Maps"
    <https://arxiv.org/abs/1909.11902>`_ paper: every model is a point, models that attribute
    alike are near.

    .. math::
        s_V(m, n) = \frac{1}{N} \sum_k \cos(a_{mk}, a_{nk}), \qquad
        s_E(m, n) = \rho(e_m, e_n)

    Models are added one by one or together: the probes are streamed once for the pairs that are
    new, in one batched product; edges are ranked once per model. Time grows with :math:`M' (M' +
    M) N D` for :math:`M'` new models; memory with :math:`M N^2` for the edges (one float32 for
    each pair of probes) and a chunk of maps. Maps may be memory-mapped files.

    Args:
        centre (bool, optional): Take the mean over probes off the features.
            (default: :obj:`True`)

    Shapes:
        - **input:** maps :math:`(N, D)` and features :math:`(N, C_m)` of each model
        - **output:** similarities :math:`(M, M)`

    Raises:
        ValueError: If a name is taken, or maps do not fit those that are there.

    Example:
        >>> import torch
        >>> from graphkit.transfer import ModelSpace
        >>> space, maps, features = ModelSpace(), torch.randn(10, 16), torch.randn(10, 4)
        >>> space.add("a", maps, features)
        >>> space.add("b", -maps, features)
        >>> round(space.node[0, 1].item(), 4), round(space.edge[0, 1].item(), 4)
        (-1.0, 1.0)
        >>> space.graph().edge_index
        tensor([[0, 1],
                [1, 0]])
    """

    def __init__(self, centre: bool = True) -> None:
        self.centre = centre
        self.names: list[str] = []
        self.maps: list[Rows] = []
        self.ranks = torch.empty(0, 0)
        self.node = torch.empty(0, 0)
        self.spread = torch.empty(0, 0)

    def __len__(self) -> int:
        return len(self.names)

    def add(self, name: str, maps: Rows | AttributionGraph, features: Tensor | None = None) -> None:
        r"""Adds one model: one row of all similarities.

        Args:
            name (str): Its name.
            maps (torch.Tensor, array or AttributionGraph): Its attribution maps, or its graph.
            features (torch.Tensor, optional): Its features, needed beside maps.
        """
        self.extend({name: maps if features is None else (maps, features)})

    def extend(self, models: Mapping[str, Any]) -> None:
        r"""Adds several models in one pass over the probes.

        Args:
            models (dict): ``(maps, features)`` or an :class:`AttributionGraph`, by name.
        """
        taken = sorted(set(models) & set(self.names))
        if taken:
            raise ValueError(f"there are models called {taken} already")
        if not models:
            return
        pairs = [
            (m.x, m.feature) if isinstance(m, AttributionGraph) else m for m in models.values()
        ]
        maps = [pair[0] for pair in pairs]
        for name, (_, features) in zip(models, pairs, strict=True):
            if len(features) != maps[0].shape[0]:
                raise ValueError(
                    f"{name!r} has {len(features)} rows of features for {maps[0].shape[0]} maps"
                )
        cosines, zero = node_cosines(maps, self.maps)
        zero_maps(zero[:, : len(maps)], list(models))
        rows = torch.stack([ranks(edge_vector(f, self.centre)) for _, f in pairs])
        self.node = grown(self.node, cosines.double().mean(0).float())
        self.spread = grown(self.spread, cosines.std(0, correction=0))
        self.ranks = torch.cat([self.ranks, rows]) if self.names else rows
        self.names += models
        self.maps += maps

    @property
    def edge(self) -> Tensor:
        r"""Spearman's correlations of the edges, :math:`(M, M)`."""
        return (self.ranks @ self.ranks.T).clamp(-1, 1)

    def similarity(self, weight: float = 0.25, how: str = "sum") -> Tensor:
        r"""Similarity of all models, row by row: for each target those of its candidates.

        Args:
            weight (float, optional): :math:`\lambda`. (default: :obj:`0.25`)
            how (str, optional): As in :func:`~graphkit.transfer.depara.combine`; by ranks or
                z-scores a model is no candidate for itself. (default: :obj:`"sum"`)
        """
        node, edge = self.node.double(), self.edge.double()
        if how != "sum":
            itself = torch.eye(len(self), dtype=torch.bool)
            node, edge = (t.masked_fill(itself, torch.nan) for t in (node, edge))
        return combine(node, edge, weight, how)

    def rank(
        self, target: str, weight: float | None = None, how: str | None = None
    ) -> list[tuple[str, float]]:
        r"""The other models and their scores for a target, best first.

        Args:
            target (str): Name of the target's model.
            weight (float, optional): As in :meth:`similarity`. (default: :obj:`0.25`)
            how (str, optional): As in :meth:`similarity`. (default: :obj:`"zscores"`, and
                :obj:`"sum"` where a weight is given; see
                :func:`~graphkit.transfer.rank_models` for why)
        """
        if target not in self.names:
            raise ValueError(f"no model is called {target!r}; there are {self.names}")
        scores = self.similarity(*settled(weight, how))[self.names.index(target)].tolist()
        rows = [row for row in zip(self.names, scores, strict=True) if row[0] != target]
        return sorted(rows, key=lambda row: -row[1])

    def graph(self, neighbors: int | None = None, weight: float = 0.25) -> Data:
        r"""The models as nodes; ``edge_weight`` is their similarity, ``edge_attr`` the mean over
        probes and the spread of :math:`\cos(a_{mk}, a_{nk})`.

        Args:
            neighbors (int, optional): Keep each model's edges to so many others.
                (default: all)
            weight (float, optional): :math:`\lambda`. (default: :obj:`0.25`)
        """
        score = self.similarity(weight).float()
        keep = ~torch.eye(len(self), dtype=torch.bool)
        if neighbors is not None:
            if not 1 <= neighbors < len(self):
                raise ValueError(
                    f"'neighbors' must lie between 1 and {len(self) - 1}, got {neighbors}"
                )
            near = score.masked_fill(~keep, -torch.inf).topk(neighbors, dim=1).indices
            nearest = torch.zeros_like(keep).scatter_(1, near, True)
            keep &= nearest | nearest.T
        return Data(
            edge_index=keep.nonzero().T.contiguous(),
            edge_weight=score[keep],
            edge_attr=torch.stack([self.node[keep], self.spread[keep]], dim=1),
            num_nodes=len(self),
            name=list(self.names),
        )

    def linkage(self, weight: float = 0.25) -> np.ndarray:
        r"""Agglomerative clustering (average linkage) of the distances ``1 - s``, with ``s``
        divided by :math:`1 + \lambda`.

        Args:
            weight (float, optional): :math:`\lambda`. (default: :obj:`0.25`)
        """
        from scipy.cluster.hierarchy import linkage

        if len(self) < 2:
            raise ValueError(f"clustering needs two models, there are {len(self)}")
        upper = np.triu_indices(len(self), 1)
        score = self.similarity(weight) / (1 + abs(weight))
        return linkage((1 - score).clamp(min=0).numpy()[upper], "average")

    def plot_dendrogram(self, weight: float = 0.25, axes: Axes | None = None) -> Axes:
        r"""Draws the tree of models.

        Args:
            weight (float, optional): :math:`\lambda`. (default: :obj:`0.25`)
            axes (matplotlib.axes.Axes, optional): Where. (default: a new figure)
        """
        from scipy.cluster.hierarchy import dendrogram

        axes = new_axes(axes, len(self))
        dendrogram(self.linkage(weight), labels=self.names, orientation="right", ax=axes)
        axes.set_xlabel("distance 1 - s")
        return axes

    def plot_heat_map(self, weight: float = 0.25, axes: Axes | None = None) -> Axes:
        r"""Draws all similarities, models in the order of the tree.

        Args:
            weight (float, optional): :math:`\lambda`. (default: :obj:`0.25`)
            axes (matplotlib.axes.Axes, optional): Where. (default: a new figure)
        """
        from scipy.cluster.hierarchy import leaves_list

        axes = new_axes(axes, len(self))
        order = leaves_list(self.linkage(weight)).tolist()
        names = [self.names[i] for i in order]
        image = axes.imshow(self.similarity(weight)[order][:, order].numpy())
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
        axes.figure.colorbar(image, ax=axes, label="similarity")
        return axes


def grown(old: Tensor, new: Tensor) -> Tensor:
    """A symmetric matrix with new rows, which hold the new models first, appended."""
    count = new.size(0)
    corner, across = new[:, :count], new[:, count:]
    corner = (corner + corner.T) / 2
    return torch.cat([torch.cat([old, across.T], 1), torch.cat([across, corner], 1)])


def new_axes(axes: Axes | None, count: int) -> Axes:
    """The axes that were given, or those of a figure as large as the models need."""
    if axes is not None:
        return axes
    side = 3 + 0.25 * count
    return load_pyplot().subplots(figsize=(side + 1, side), layout="constrained")[1]
