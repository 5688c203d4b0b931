"""Clusters that agree over views of an image and over the course of training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.modes import evaluating
from graphkit.precision import normalize, positive
from graphkit.vision.reid.pseudo_labels import CentroidHead
from graphkit.vision.reid.sskd import EmbeddingAverage
from graphkit.words import refuse_class

__all__ = ["ConsistencyClustering", "embedding_spread"]


@method(
    paper="arXiv:2104.00202",
    title="Unsupervised Person Re-Identification via Simultaneous Clustering and Consistency "
    "Learning",
    authors="Junhui Yin, Jiayan Qiu, Siqing Zhang, Jiyang Xie, Zhanyu Ma, Jun Guo",
    venue="arXiv preprint",
    year=2021,
    code=None,
    licence="none",
    takes="images or nodes without any label",
    gives="embeddings and clusters",
    deviations=[
        "written from the abstract, there is no released code: views are compared as in SimSiam, "
        "time by a moving average or by the average of past predictions, both ours",
        "the clusterings are those of the other methods of re-identification, DBSCAN on the "
        "Jaccard distance or k-means",
    ],
    limits=[
        "as a gain over clustering alone: 1 to 2 points of mAP within the spread",
        "node clustering on Cora: k-means of GAE embeddings has the higher NMI",
    ],
)
class ConsistencyClustering(nn.Module):
    r"""Simultaneous clustering and consistency learning, after the `"Unsupervised Person
    Re-Identification via Simultaneous Clustering and Consistency Learning"
    <https://arxiv.org/abs/2104.00202>`_ paper.

    .. math::
        \mathcal{L} &= \mathrm{CE}(c f v_1, \hat y) + \mathrm{CE}(c f v_2, \hat y)
        + \lambda_v L_v + \lambda_t L_t \\
        L_v &= -\tfrac{1}{2} \big[ \cos(q g f v_1, \mathrm{sg}\, g f v_2) +
        \cos(q g f v_2, \mathrm{sg}\, g f v_1) \big] \\
        L_t &= L_v \text{ with } \mathrm{sg}\, \bar g \bar f \text{ in place of }
        \mathrm{sg}\, g f, \quad \text{or} \quad
        D_{KL}(\bar p \,\Vert\, \mathrm{softmax}\, c f v)

    for two views of an image, encoder :math:`f`, projector :math:`g`, predictor :math:`q` and
    clusters :math:`c`. :math:`\bar f` is a moving average of the weights
    (``temporal="ema"``), :math:`\bar p` of an image's predictions at the end of each round
    (``"ensemble"``), which :class:`~graphkit.vision.ClusteringRounds` makes meaningful by keeping
    clusters' numbers. With neither, it is clustering alone. ``"ensemble"`` keeps
    :math:`N K` numbers.

    It serves graphs too: a view is then a tuple of the encoder's arguments, such as features with
    some hidden and edges with some dropped, and ``y`` has a label for every node, -1 for none.

    Args:
        encoder (torch.nn.Module): From images, or a tuple of arguments, to embeddings.
        channels (int): Width of the embeddings.
        max_clusters (int): Most clusters there may be.
        num_samples (int, optional): Of the data set; needed for ``"ensemble"``.
        visual (bool, optional): Whether views are to agree. (default: :obj:`True`)
        temporal (str, optional): ``"ema"``, ``"ensemble"`` or :obj:`None`. (default: ``"ema"``)
        visual_weight, temporal_weight (float, optional): :math:`\lambda_v`, :math:`\lambda_t`.
            (default: :obj:`1.0`)
        decay (float, optional): Of the averages. (default: 0.99 of weights, 0.6 of predictions)
        hidden_channels (int, optional): Width of the projector. (default: :obj:`channels`)
        scale (float, optional): Of the cosines with the centroids. (default: :obj:`10.0`)

    Shapes:
        - **input:** what the encoder takes
        - **output:** unit embeddings :math:`(B, F)`

    Raises:
        ValueError: If an option is out of range, ``num_samples`` is missing, or a loss is asked
            for before the first round.

    Example:
        >>> import torch
        >>> from graphkit.vision import ConsistencyClustering
        >>> x = torch.rand(12, 6)
        >>> model = ConsistencyClustering(torch.nn.Linear(6, 4), 4, max_clusters=3)
        >>> model.start_round(model.embed(x), torch.arange(12) % 3)
        >>> model.loss((x, x + 0.1), torch.arange(12) % 3).backward()
        >>> model.after_step()
        >>> model(x).shape
        torch.Size([12, 4])
    """

    past: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        channels: int,
        max_clusters: int,
        num_samples: int | None = None,
        visual: bool = True,
        temporal: str | None = "ema",
        visual_weight: float = 1.0,
        temporal_weight: float = 1.0,
        decay: float | None = None,
        hidden_channels: int | None = None,
        scale: float = 10.0,
    ) -> None:
        super().__init__()
        refuse_class("encoder", encoder)
        if temporal not in ("ema", "ensemble", None):
            raise ValueError(f"'temporal' must be 'ema', 'ensemble' or None, got {temporal!r}")
        if temporal == "ensemble" and num_samples is None:
            raise ValueError("temporal='ensemble' needs 'num_samples', to remember each one")
        if decay is None:
            decay = 0.6 if temporal == "ensemble" else 0.99
        if not 0 <= decay <= 1 or min(visual_weight, temporal_weight) < 0:
            raise ValueError(
                "'decay' must be in [0, 1] and weights must not be negative, got "
                f"{decay}, {visual_weight} and {temporal_weight}"
            )
        # A switch is a weight of 0, so that both give the same numbers.
        width = channels if hidden_channels is None else hidden_channels
        self.visual_weight = visual_weight if visual else 0.0
        self.temporal_weight = 0.0 if temporal is None else temporal_weight
        self.temporal, self.decay, self.max_clusters = temporal, decay, max_clusters
        self.encoder = encoder
        self.projector = nn.Sequential(
            nn.Linear(channels, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width, affine=False),
        )
        # Narrow in the middle: without a predictor that is not the identity, views collapse.
        self.predictor = nn.Sequential(
            nn.Linear(width, max(width // 4, 1), bias=False),
            nn.BatchNorm1d(max(width // 4, 1)),
            nn.ReLU(),
            nn.Linear(max(width // 4, 1), width),
        )
        self.head = CentroidHead(channels, max_clusters, scale)
        rows = num_samples if temporal == "ensemble" else 0
        self.register_buffer("past", torch.zeros(rows or 0, max_clusters))
        self.average: EmbeddingAverage | None = None
        if self.temporal == "ema":
            both = nn.ModuleList([encoder, self.projector])
            self.average = EmbeddingAverage(both, decay, "own")

    def forward(self, *inputs: Any) -> Tensor:
        """Embeddings of length one."""
        return normalize(self.encoder(*inputs), dim=1)

    @torch.no_grad()
    def embed(self, *inputs: Any, batch_size: int = 512) -> Tensor:
        """Embeddings in evaluation mode, without gradients; of images, in parts."""
        with evaluating(self):
            if len(inputs) > 1:
                return self(*inputs)
            return torch.cat([self(part) for part in inputs[0].split(batch_size)])

    @torch.no_grad()
    def start_round(self, features: Tensor, label: Tensor) -> None:
        """Remembers predictions, then begins at the centroids of the new clusters.

        Args:
            features (torch.Tensor): Embeddings of all samples.
            label (torch.Tensor): Their clusters; -1 for none.
        """
        if self.temporal == "ensemble":
            if len(self.past) != len(features):
                raise ValueError(
                    f"'features' has {len(features)} rows, 'num_samples' was {len(self.past)}"
                )
            if bool(self.head.active.any()):
                shares = self.head(features).softmax(1)
                old = self.past.any(1, keepdim=True)
                mixed = self.decay * self.past + (1 - self.decay) * shares
                self.past.copy_(torch.where(old, mixed, shares))
        self.head.restart(features, label)
        if self.average is not None and int(self.average.n_averaged) == 0:
            self.average.update_parameters(nn.ModuleList([self.encoder, self.projector]))

    def after_step(self) -> None:
        """Moves the average of the weights."""
        if self.average is not None and int(self.average.n_averaged) > 0:
            self.average.update_parameters(nn.ModuleList([self.encoder, self.projector]))

    def loss(self, views: Sequence[Any], y: Tensor, rows: Tensor | None = None) -> Tensor:
        """The loss of a batch.

        Args:
            views (sequence): Two views, each a tensor or a tuple of arguments.
            y (torch.Tensor): Clusters; -1 counts for the consistencies alone.
            rows (torch.Tensor, optional): Which samples they are; needed for ``"ensemble"``.
        """
        if len(views) < 2:
            raise ValueError(f"'views' must hold two, got {len(views)}")
        if not bool(self.head.active.any()):
            raise ValueError("there is no cluster yet: call start_round() first")
        f = [call(self.encoder, view) for view in views[:2]]
        logits = [self.head(one) for one in f]
        known = y >= 0
        total = f[0].sum() * 0.0
        if bool(known.any()):
            for one in logits:
                total = total + F.cross_entropy(one[known], y[known])
        if self.visual_weight or (self.temporal_weight and self.temporal == "ema"):
            z = [self.projector(one) for one in f]
            p = [self.predictor(one) for one in z]
            if self.visual_weight:
                total = total + self.visual_weight * agreement(p, z)
            if self.temporal_weight and self.average is not None:
                total = total + self.temporal_weight * agreement(p, self.averaged(views))
        if self.temporal_weight and self.temporal == "ensemble":
            total = total + self.temporal_weight * self.remembrance(logits, rows)
        return total

    @torch.no_grad()
    def averaged(self, views: Sequence[Any]) -> list[Tensor]:
        """Projections of the views by the averaged networks."""
        assert self.average is not None
        pair: Any = self.average.module
        return [pair[1](call(pair[0], view)) for view in views[:2]]

    def remembrance(self, logits: Sequence[Tensor], rows: Tensor | None) -> Tensor:
        """How far predictions are from those remembered; 0 in the first round."""
        if rows is None:
            raise ValueError("temporal='ensemble' needs 'rows', the numbers of the samples")
        # What was remembered of clusters that are gone says nothing about those there are.
        past = self.past[rows] * self.head.active
        mass = past.sum(1)
        past = past / positive(mass).unsqueeze(1)
        total = logits[0].new_zeros(())
        for one in logits:
            logs = one.log_softmax(1).masked_fill(past == 0, 0.0)
            gap = (past * (positive(past).log() - logs)).sum(1)
            total = total + gap.masked_fill(mass == 0, 0.0).mean() / len(logits)
        return total


def call(encoder: nn.Module, view: Any) -> Tensor:
    """An encoder's embeddings of a tensor, or of a tuple of arguments."""
    return encoder(*view) if isinstance(view, tuple) else encoder(view)


def agreement(prediction: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """Minus the mean cosine of each view's prediction with the other's target, held fixed."""
    cosines = [
        (normalize(prediction[i]) * normalize(target[1 - i].detach())).sum(1).mean() for i in (0, 1)
    ]
    return -(cosines[0] + cosines[1]) / 2


def embedding_spread(x: Tensor) -> Tensor:
    r"""How evenly embeddings fill the sphere: 1 at most, 0 where they have collapsed into one.

    .. math::
        \sqrt{F}\, \mathrm{mean}_j\, \mathrm{std}_i\, \frac{x_{ij}}{\lVert x_i \rVert}

    Args:
        x (torch.Tensor): Embeddings.

    Shapes:
        - **input:** :math:`(N, F)`
        - **output:** a scalar

    Raises:
        ValueError: If there is no row.

    Example:
        >>> import torch
        >>> embedding_spread(torch.ones(5, 3))
        tensor(0.)
    """
    if x.dim() != 2 or not len(x):
        raise ValueError(f"'x' must be [N, F] with a row at least, got {list(x.shape)}")
    spread = normalize(x, dim=1).std(0, unbiased=False).mean()
    return spread * x.size(1) ** 0.5
