"""Is this triple real?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.data.scene_batch import SceneBatch
from graphkit.nn.models.scene_graph_encoder import SceneGraphEncoder


def judge(width: int, hidden: int) -> nn.Sequential:
    """Two spectrally normalised layers and a last one that begins near zero."""
    normalise = torch.nn.utils.parametrizations.spectral_norm
    last = nn.Linear(hidden, 1)
    nn.init.normal_(last.weight, std=0.01)
    nn.init.zeros_(last.bias)
    return nn.Sequential(
        normalise(nn.Linear(width, hidden)),
        nn.LeakyReLU(0.2),
        normalise(nn.Linear(hidden, hidden)),
        nn.LeakyReLU(0.2),
        last,
    )


@method(
    paper="arXiv:2405.03650",
    title="Generated Contents Enrichment",
    authors="Mahdi Naseri, Jiayan Qiu, Zhou Wang",
    venue="arXiv 2024",
    year=2024,
    code=None,
    licence="none",
    takes="scene graphs",
    gives="a score per triple, high for real ones",
    deviations=["GCE-style, no reproduction: see SceneGraphEnricher"],
    verified_by="tests/nn/scenes/test_local_triple_discriminator.py",
    limits=[
        "recall alone: it changes it by 0.2 points at most",
    ],
)
class LocalTripleDiscriminator(nn.Module):
    r"""The discriminator of triples, in the style of the `"Generated Contents Enrichment"
    <https://arxiv.org/abs/2405.03650>`_ paper.

    .. math::
        D(t) = \mathrm{MLP}([\mathbf{e}_{s_t}, \mathbf{e}_{p_t}, \mathbf{e}_{o_t},
        \mathbf{h}_{s_t}, \mathbf{h}_{o_t}])

    with embeddings :math:`\mathbf{e}` and the features :math:`\mathbf{h}` of an encoder of its
    own, by which a triple is seen in its scene.  Scores begin near zero.

    Args:
        num_objects (int): Number of object categories.
        num_predicates (int): Number of predicates.
        hidden_channels (int, optional): Width of everything. (default: :obj:`64`)
        **kwargs (optional): Further arguments of :class:`~graphkit.nn.SceneGraphEncoder`; by
            default one layer.

    Shapes:
        - **input:** scene graphs with :math:`T` triples
        - **output:** :math:`(T)`

    Raises:
        ValueError: If a category or predicate is unknown.

    Example:
        >>> from graphkit.datasets import SceneBatch, SyntheticScenes
        >>> from graphkit.nn import LocalTripleDiscriminator
        >>> scenes = SceneBatch.from_data(list(SyntheticScenes(num_graphs=3)))
        >>> LocalTripleDiscriminator(28, 13)(scenes).shape == scenes.edge_attr.shape
        True
    """

    def __init__(
        self, num_objects: int, num_predicates: int, hidden_channels: int = 64, **kwargs: Any
    ) -> None:
        super().__init__()
        kwargs = {"num_layers": 1, "triple_channels": hidden_channels, **kwargs}
        self.encoder = SceneGraphEncoder(num_objects, num_predicates, hidden_channels, **kwargs)
        self.head = judge(5 * hidden_channels, hidden_channels)

    def forward(self, scenes: SceneBatch) -> Tensor:
        """Scores each triple.

        Args:
            scenes (SceneBatch): The graphs.
        """
        encoded = self.encoder(scenes)
        _, predicates = self.encoder.embed(scenes)
        both = torch.cat([encoded.embedded, encoded.objects], dim=1)
        subject, object_ = both[scenes.edge_index]
        return self.head(torch.cat([subject, predicates, object_], dim=1))[:, 0]
