"""A model as a graph of probes: what it looks at in each, and how alike it finds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit import catalog
from graphkit.modes import frozen
from graphkit.precision import normalize, wide
from graphkit.transfer.attribution import Target, attribute, graph_output, output_of
from graphkit.transfer.model_cosines import of_size_one

__all__ = ["AttributionGraph"]

CHANNELS = ("mean", "absolute", "all")


@catalog.method(
    paper="arXiv:2003.07496",
    title="DEPARA: Deep Attribution Graph for Deep Knowledge Transferability",
    authors="Jie Song, Yixin Chen, Jingwen Ye, Xinchao Wang, Chengchao Shen, Feng Mao, Mingli Song",
    venue="CVPR 2020",
    year=2020,
    code="https://github.com/zju-vipa/DEPARA",
    licence="none",
    takes="any model and a set of probes, or a graph",
    gives="a PyG graph of probes",
    deviations=[
        "the released code accumulates input gradients over layers and over both networks; here "
        "every attribution starts from zero",
        "a map that is zero everywhere has similarity 0, where the released code gives NaN",
        "nodes of a graph may be the probes: a node's attribution is its row of the features' "
        "attribution",
    ],
    verified_by="tests/transfer/test_attribution_graph.py",
    limits=[
        "where labels of the target are at hand: LogME and H-score choose better",
    ],
)
class AttributionGraph(Data):
    r"""The deep attribution graph of the `"DEPARA: Deep Attribution Graph for Deep Knowledge
    Transferability" <https://arxiv.org/abs/2003.07496>`_ paper, as PyG's
    :class:`~torch_geometric.data.Data`.

    .. math::
        v_k = \mathrm{vec}\, A(x_k), \qquad
        e_{kl} = \frac{\langle f_k, f_l \rangle}{\lVert f_k \rVert \lVert f_l \rVert}

    A node is a probe, ``x`` its attribution :math:`v_k`, ``feature`` what the model makes of it,
    :math:`f_k` (centred over the probes), and edges hold :math:`e_{kl}` as ``edge_weight``.
    Two such graphs over the same probes are compared by
    :func:`~graphkit.transfer.depara_similarity`.

    Args:
        **kwargs (optional): The attributes above; :meth:`build` computes them.

    Shapes:
        - **input:** :math:`N` probes
        - **output:** ``x`` :math:`(N, D)`, ``feature`` :math:`(N, C)`, ``edge_index``
          :math:`(2, N (N - 1))`, ``edge_weight`` :math:`(N (N - 1))`

    Example:
        >>> import torch
        >>> from graphkit.transfer import AttributionGraph
        >>> model = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.ReLU())
        >>> graph = AttributionGraph.build(model, torch.rand(5, 8))
        >>> graph.num_nodes, graph.num_edges, graph.x.shape, graph.feature.shape
        (5, 20, torch.Size([5, 8]), torch.Size([5, 4]))
    """

    @classmethod
    def build(
        cls,
        model: Callable[..., Any],
        probes: Tensor | Data,
        method: str = "input_x_gradient",
        *,
        layer: str | None = None,
        target: Target = "sum",
        channels: str = "mean",
        centre: bool = True,
        nodes: Tensor | None = None,
        neighbors: int | None = None,
        batch_size: int = 64,
        **settings: Any,
    ) -> AttributionGraph:
        r"""The graph of a model. Costs one call of :func:`~graphkit.transfer.attribute` and one
        forward pass, plus :math:`O(N^2 C)` for the edges.

        Args:
            model (callable): The model.
            probes (torch.Tensor or Data): Samples without labels, or a graph whose nodes are
                the probes.
            method (str, optional): As in :func:`~graphkit.transfer.attribute`.
                (default: :obj:`"input_x_gradient"`)
            layer (str, optional): Submodule whose output is the feature. (default: the model)
            target (optional): As in :func:`~graphkit.transfer.attribute`.
                (default: :obj:`"sum"`)
            channels (str, optional): What becomes of the channels of an image's attribution:
                their :obj:`"mean"` (to compare models), the mean of their size,
                :obj:`"absolute"` (to compare layers), or :obj:`"all"` stay.
                (default: :obj:`"mean"`)
            centre (bool, optional): Take the mean feature off. (default: :obj:`True`)
            nodes (torch.Tensor, optional): With a graph, the nodes that are probes.
                (default: all)
            neighbors (int, optional): Keep each probe's edges to so many others; 0 builds no
                edge, :obj:`None` all. (default: :obj:`None`)
            batch_size (int, optional): Samples at a time. (default: :obj:`64`)
            **settings (optional): Further arguments of :func:`~graphkit.transfer.attribute`.

        Raises:
            ValueError: If an argument is unknown or out of range.
        """
        if channels not in CHANNELS:
            raise ValueError(f"'channels' must be one of {list(CHANNELS)}, got {channels!r}")
        maps = attribute(
            model, probes, method, target=target, layer=layer, batch_size=batch_size, **settings
        )
        feature = features_of(model, probes, layer, batch_size)
        if isinstance(probes, Data):
            maps, feature = (t if nodes is None else t[nodes] for t in (maps, feature))
        elif maps.dim() > 2 and channels != "all":
            maps = (maps.abs() if channels == "absolute" else maps).mean(1)
        if centre:
            feature = feature - feature.mean(0)
        graph = cls(x=wide(maps.flatten(1)), feature=wide(feature.flatten(1)))
        graph.num_nodes = len(maps)
        return graph.connect(neighbors)

    def connect(self, neighbors: int | None = None) -> AttributionGraph:
        r"""Builds ``edge_index`` and ``edge_weight`` from the features, in place.

        Args:
            neighbors (int, optional): As in :meth:`build`. (default: :obj:`None`)
        """
        count = self.feature.size(0)
        if neighbors is not None and not 0 <= neighbors < max(count, 1):
            raise ValueError(f"'neighbors' must lie between 0 and {count - 1}, got {neighbors}")
        if neighbors == 0:
            self.edge_index = torch.empty(2, 0, dtype=torch.long)
            self.edge_weight = self.feature.new_empty(0)
            return self
        unit = normalize(of_size_one(self.feature), dim=1)
        cosine = unit @ unit.T
        keep = ~torch.eye(count, dtype=torch.bool)
        if neighbors is not None:
            near = cosine.masked_fill(~keep, -torch.inf).topk(neighbors, dim=1).indices
            nearest = torch.zeros_like(keep).scatter_(1, near, True)
            keep &= nearest | nearest.T
        self.edge_index = keep.nonzero().T.contiguous()
        self.edge_weight = cosine[keep]
        return self


@torch.no_grad()
def features_of(
    model: Callable[..., Any], probes: Tensor | Data, layer: str | None, batch_size: int
) -> Tensor:
    """What a model, or one of its layers, makes of the probes."""
    with frozen(model):
        if isinstance(probes, Data):
            return graph_output(model, probes, layer, probes.x)
        parts = [output_of(model, layer, part) for part in probes.split(batch_size)]
        return torch.cat([part.flatten(1) for part in parts])
