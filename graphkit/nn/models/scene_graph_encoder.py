"""A stack of triple convolutions over scene graphs."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.data.scene_batch import SceneBatch
from graphkit.nn.conv.triple_conv import TripleConv


class EncodedScenes(NamedTuple):
    """What :class:`SceneGraphEncoder` gives.

    Args:
        objects (torch.Tensor): Features of the objects ``[N, F]``.
        images (torch.Tensor): Features of the ``__image__`` of each graph ``[B, F]``.
        new (torch.Tensor): Features of the new node of each graph ``[B, F]``; ``[0, F]`` without.
        embedded (torch.Tensor): Embeddings of the objects' categories ``[N, F]``.
        predicates (torch.Tensor): Features of the triples ``[T, F]``.
    """

    objects: Tensor
    images: Tensor
    new: Tensor
    embedded: Tensor
    predicates: Tensor


@method(
    paper="arXiv:1804.01622",
    title="Image Generation from Scene Graphs",
    authors="Justin Johnson, Agrim Gupta, Li Fei-Fei",
    venue="CVPR 2018",
    year=2018,
    code="https://github.com/google/sg2im",
    licence="Apache-2.0",
    takes="scene graphs",
    gives="features of objects, triples and whole scenes",
    deviations=[
        "the special nodes are the encoder's own, behind all objects, and in no data",
        "residual=True adds each layer's input to its output; the paper has no such connection",
        "dropout between layers, off by default",
    ],
    verified_by="tests/nn/models/test_scene_graph_encoder.py",
)
class SceneGraphEncoder(nn.Module):
    r"""The graph network of the `"Image Generation from Scene Graphs"
    <https://arxiv.org/abs/1804.01622>`_ paper: embeddings of categories and predicates, then
    layers of :class:`~graphkit.nn.TripleConv`.

    .. math::
        (\mathbf{H}^{(l+1)}, \mathbf{P}^{(l+1)}) = \mathrm{TripleConv}
        \left( \mathbf{H}^{(l)}, \mathcal{T} \cup \{(i, \mathrm{in\_image}, \mathrm{image}_b)\},
        \mathbf{P}^{(l)} \right)

    Every graph gets a node ``__image__`` that all its objects are ``__in_image__`` of, so that
    objects without triples are heard and an empty scene has features, too.  With :obj:`new` it
    gets a further node, joined to the image in the same way and to every object by ``__?__``.

    Time and memory grow with triples and objects together; see
    :class:`~graphkit.nn.TripleConv`.

    Args:
        num_objects (int): Number of object categories.
        num_predicates (int): Number of predicates.
        hidden_channels (int, optional): Width of the features. (default: :obj:`128`)
        triple_channels (int, optional): Width inside the layers. (default: :obj:`512`)
        num_layers (int, optional): Number of layers. (default: :obj:`5`)
        pooling (str, optional): :obj:`"mean"` or :obj:`"sum"`. (default: :obj:`"mean"`)
        residual (bool, optional): Adds inputs to outputs. (default: :obj:`False`)
        dropout (float, optional): Dropout between layers. (default: :obj:`0.0`)

    Shapes:
        - **input:** scene graphs with :math:`N` objects and :math:`T` triples in :math:`B` graphs
        - **output:** objects :math:`(N, F)`, images :math:`(B, F)`, new nodes :math:`(B, F)` or
          :math:`(0, F)`, embeddings :math:`(N, F)`, predicates :math:`(T, F)`

    Raises:
        ValueError: If a category or predicate is unknown, or an option out of range.

    Example:
        >>> from graphkit.datasets import SceneBatch, SyntheticScenes
        >>> from graphkit.nn import SceneGraphEncoder
        >>> data = SyntheticScenes(num_graphs=3)
        >>> scenes = SceneBatch.from_data(list(data))
        >>> encoder = SceneGraphEncoder(28, 13, hidden_channels=16, triple_channels=32)
        >>> encoded = encoder(scenes)
        >>> encoded.objects.shape[0] == scenes.num_nodes, encoded.images.shape
        (True, torch.Size([3, 16]))
    """

    def __init__(
        self,
        num_objects: int,
        num_predicates: int,
        hidden_channels: int = 128,
        triple_channels: int = 512,
        num_layers: int = 5,
        pooling: Literal["mean", "sum"] = "mean",
        residual: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        for name, value in (
            ("num_objects", num_objects),
            ("num_predicates", num_predicates),
            ("num_layers", num_layers),
        ):
            if value < 1:
                raise ValueError(f"'{name}' must be at least 1, got {value}")
        if not 0 <= dropout < 1:
            raise ValueError(f"'dropout' must lie in [0, 1), got {dropout}")
        self.num_objects, self.num_predicates = num_objects, num_predicates
        self.residual, self.dropout = residual, dropout
        self.embed_objects = nn.Embedding(num_objects + 1, hidden_channels)
        self.embed_predicates = nn.Embedding(num_predicates + 2, hidden_channels)
        self.convs = nn.ModuleList(
            TripleConv(hidden_channels, hidden_channels, triple_channels, pooling=pooling)
            for _ in range(num_layers)
        )

    def reset_parameters(self) -> None:
        """Draws all parameters anew."""
        for module in (self.embed_objects, self.embed_predicates, *self.convs):
            module.reset_parameters()

    def forward(self, scenes: SceneBatch, new: Tensor | None = None) -> EncodedScenes:
        """Encodes scene graphs.

        Args:
            scenes (SceneBatch): The graphs.
            new (torch.Tensor, optional): Features of a node to be added to each graph,
                :math:`(B, F)`. (default: none)
        """
        scenes.check_names(self.num_objects, self.num_predicates)
        embedded, links = self.embed(scenes)
        x, edges, edge_attr = self.with_special_nodes(scenes, embedded, links, new)
        for conv in self.convs:
            out, out_attr = conv(x, edges, edge_attr)
            x, edge_attr = (x + out, edge_attr + out_attr) if self.residual else (out, out_attr)
            x = F.dropout(x, self.dropout, self.training)
        graphs = scenes.num_graphs
        sizes = [scenes.num_nodes, 0 if new is None else graphs, graphs]
        objects, added, images = x.split(sizes)
        return EncodedScenes(
            objects, images, added, embedded, edge_attr[: scenes.edge_attr.numel()]
        )

    def embed(self, scenes: SceneBatch) -> tuple[Tensor, Tensor]:
        """Embeddings of categories and predicates; soft ones pass their gradient on."""
        objects, predicates = self.embed_objects.weight, self.embed_predicates.weight
        if scenes.x_soft is None or scenes.edge_soft is None:
            return self.embed_objects(scenes.x), self.embed_predicates(scenes.edge_attr)
        return (
            scenes.x_soft @ objects[: self.num_objects],
            scenes.edge_soft @ predicates[: self.num_predicates],
        )

    def with_special_nodes(
        self, scenes: SceneBatch, embedded: Tensor, links: Tensor, new: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Features and triples with the new nodes and, last of all, the images."""
        nodes, graphs = scenes.num_nodes, scenes.num_graphs
        each = torch.arange(nodes, device=scenes.x.device)
        graph = torch.arange(graphs, device=scenes.x.device)
        first = nodes if new is None else nodes + graphs
        in_image, unknown = self.embed_predicates.weight[self.num_predicates :]
        image = self.embed_objects.weight[self.num_objects :].expand(graphs, -1)
        rows, features = [embedded, image], [links, in_image.expand(nodes, -1)]
        ends = [scenes.edge_index, torch.stack([each, first + scenes.batch])]
        if new is not None:
            rows.insert(1, new)
            ends += [
                torch.stack([nodes + graph, first + graph]),
                torch.stack([nodes + scenes.batch, each]),
            ]
            features += [in_image.expand(graphs, -1), unknown.expand(nodes, -1)]
        return torch.cat(rows), torch.cat(ends, 1), torch.cat(features)
