"""Is this scene real?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.data.scene_batch import SceneBatch
from graphkit.nn.models.scene_graph_encoder import SceneGraphEncoder
from graphkit.nn.scenes.local_triple_discriminator import judge
from graphkit.ops import segment_reduce


@method(
    paper="arXiv:2405.03650",
    title="Generated Contents Enrichment",
    authors="Mahdi Naseri, Jiayan Qiu, Zhou Wang",
    venue="arXiv 2024",
    year=2024,
    code=None,
    licence="none",
    takes="scene graphs",
    gives="a score per graph, high for real ones",
    deviations=["GCE-style, no reproduction: see SceneGraphEnricher"],
    verified_by="tests/nn/scenes/test_global_graph_discriminator.py",
    limits=[
        "recall alone: it changes it by 0.2 points at most",
    ],
)
class GlobalGraphDiscriminator(nn.Module):
    r"""The discriminator of whole scene graphs, in the style of the `"Generated Contents
    Enrichment" <https://arxiv.org/abs/2405.03650>`_ paper.

    .. math::
        D(s) = \mathrm{MLP}\left( \left[ \mathbf{h}_{image}, \frac{1}{|\mathcal{V}|}
        \sum_{i \in \mathcal{V}} \mathbf{h}_i \right] \right)

    with features :math:`\mathbf{h}` of an encoder of its own.  Scores begin near zero.

    Args:
        num_objects (int): Number of object categories.
        num_predicates (int): Number of predicates.
        hidden_channels (int, optional): Width of everything. (default: :obj:`64`)
        **kwargs (optional): Further arguments of :class:`~graphkit.nn.SceneGraphEncoder`; by
            default two layers.

    Shapes:
        - **input:** :math:`B` scene graphs
        - **output:** :math:`(B)`

    Raises:
        ValueError: If a category or predicate is unknown.

    Example:
        >>> from graphkit.datasets import SceneBatch, SyntheticScenes
        >>> from graphkit.nn import GlobalGraphDiscriminator
        >>> scenes = SceneBatch.from_data(list(SyntheticScenes(num_graphs=3)))
        >>> GlobalGraphDiscriminator(28, 13)(scenes).shape
        torch.Size([3])
    """

    def __init__(
        self, num_objects: int, num_predicates: int, hidden_channels: int = 64, **kwargs: Any
    ) -> None:
        super().__init__()
        kwargs = {"num_layers": 2, "triple_channels": hidden_channels, **kwargs}
        self.encoder = SceneGraphEncoder(num_objects, num_predicates, hidden_channels, **kwargs)
        self.head = judge(2 * hidden_channels, hidden_channels)

    def forward(self, scenes: SceneBatch) -> Tensor:
        """Scores each graph.

        Args:
            scenes (SceneBatch): The graphs.
        """
        encoded = self.encoder(scenes)
        mean = segment_reduce(encoded.objects, scenes.batch, scenes.num_graphs, "mean")
        return self.head(torch.cat([encoded.images, mean], dim=1))[:, 0]
