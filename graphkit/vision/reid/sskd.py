"""Peer networks that teach each other slowly, on pseudo labels of another domain."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from graphkit.catalog import method
from graphkit.lopsided import watch_terms
from graphkit.modes import evaluating
from graphkit.precision import normalize
from graphkit.vision.reid.losses import (
    batch_nuclear_norm,
    multi_similarity_loss,
    smoothed_cross_entropy,
)
from graphkit.vision.reid.pseudo_labels import CentroidHead

__all__ = ["SSKD", "EmbeddingAverage", "redrawn"]


class Peer(nn.Module):
    """An encoder and its classifier."""

    def __init__(self, encoder: nn.Module, head: CentroidHead) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings and logits."""
        f = self.encoder(x)
        return f, self.head(f)


class EmbeddingAverage(AveragedModel):
    r"""The moving average of a model, whose memory grows while it is young.

    .. math::
        \bar\theta \leftarrow a \bar\theta + (1 - a) \theta, \qquad
        a = \min(1 - 1 / (s + 1), \text{decay})

    at step :math:`s`, from 0.

    Args:
        model (torch.nn.Module): The model; a copy of it is averaged.
        decay (float): Between 0, a copy after every step, and 1.
        statistics (str): ``"own"``: buffers, as of batch norms, are what the average's own forward
            passes make of them; ``"copied"``: they are the model's.
    """

    def __init__(self, model: nn.Module, decay: float, statistics: str) -> None:
        super().__init__(model, avg_fn=partial(mixed, decay=decay))
        self.statistics = statistics
        for parameter in self.parameters():
            parameter.requires_grad_(False)

    def update_parameters(self, model: nn.Module) -> None:
        """One step; the first call only copies, and is no step."""
        before = [buffer.clone() for buffer in self.module.buffers()]
        young = int(self.n_averaged) == 0
        super().update_parameters(model)
        if self.statistics == "own" and not young:
            for buffer, value in zip(self.module.buffers(), before, strict=True):
                buffer.copy_(value)


@method(
    paper="arXiv:2009.05972",
    title="SSKD: Self-Supervised Knowledge Distillation for Cross Domain Adaptive Person "
    "Re-Identification",
    authors="Junhui Yin, Jiayan Qiu, Siqing Zhang, Zhanyu Ma, Jun Guo",
    venue="IC-NIDC 2021",
    year=2021,
    code="https://github.com/PRIS-CV/SSKD",
    licence="none",
    takes="encoders trained on labelled images of another domain, images without labels",
    gives="embeddings of the new domain; hard and soft pseudo labels",
    deviations=[
        "weights and schedule are those of the released scripts, which the paper does not give",
        "peers may be 1, whose average teaches it on another view, or 2",
        "numbers of classifiers and clusters are matched between rounds, and unused rows are off",
        "the average network is that of all peers; the released program picks the best of three "
        "on the target's test set",
        "statistics='copied' gives the averages the buffers of their networks, which is torch's "
        "way; the default is the released program's",
    ],
)
class SSKD(nn.Module):
    r"""Self-supervised knowledge distillation of the `"SSKD: Self-Supervised Knowledge Distillation
    for Cross Domain Adaptive Person Re-Identification" <https://arxiv.org/abs/2009.05972>`_ paper.

    .. math::
        \mathcal{L} = \sum_k (1 - w)\, \mathrm{CE}(z_k(v_k), \hat y) + w\, \mathrm{CE}(z_k(v_k),
        \mathrm{softmax}\, \bar z_{k+1}(v_{k+1})) + w_m \mathrm{MS}(f_k, \hat y)
        - \tfrac{w_n}{B} \lVert \mathrm{softmax}\, z_k \rVert_*

    Each peer sees a view of its own, learns the clusters' numbers as hard labels and, as soft
    ones, what the next peer's moving average says of the next view. Averages make the features
    that are clustered, so that a wrong label has to be wrong for long before it is believed. With
    ``decay=0`` and ``soft_weight=0`` one peer is clustering alone.

    First train the peers on the source with :meth:`source_loss` (a
    :class:`~graphkit.vision.PseudoLabelTask` with true labels calls :meth:`loss`, which is that as
    long as no round was started), then on the target in :class:`~graphkit.vision.ClusteringRounds`.
    A step costs :math:`P` passes forward and backward and :math:`P` forward.

    Args:
        encoder (torch.nn.Module or sequence of torch.nn.Module): From images to embeddings; of one
            module, the other peers are copies with parameters drawn anew.
        channels (int): Width of the embeddings.
        max_clusters (int): Most clusters, or classes of the source, there may be.
        peers (int, optional): :math:`P`. (default: :obj:`3`)
        soft_weight (float, optional): :math:`w`. (default: :obj:`0.5`)
        metric_weight (float, optional): :math:`w_m` of
            :func:`~graphkit.vision.multi_similarity_loss`. (default: :obj:`3.0`)
        nuclear_weight (float, optional): :math:`w_n`. (default: :obj:`1.5`)
        smoothing (float, optional): Of the hard labels. (default: :obj:`0.1`)
        decay (float, optional): Of the averages. (default: :obj:`0.999`)
        statistics (str, optional): Buffers of the averages, ``"own"`` or ``"copied"``.
            With ``soft_weight=0`` they are copied: such averages see no image.
            (default: ``"own"``)
        variant (str, optional): Of the multi-similarity loss, ``"paper"`` or ``"released"``.
            (default: ``"paper"``)

    Shapes:
        - **input:** what the encoders take
        - **output:** unit embeddings :math:`(B, F)`

    Raises:
        ValueError: If an option is out of range, or a loss is asked for without classes.

    Example:
        >>> import torch
        >>> from graphkit.vision import SSKD
        >>> x = torch.rand(12, 6)
        >>> model = SSKD(torch.nn.Linear(6, 4), 4, max_clusters=3, peers=2)
        >>> model.start_round(model.embed(x), torch.arange(12) % 3)
        >>> loss = model.loss((x, x + 0.1), torch.arange(12) % 3)
        >>> loss.backward()
        >>> model.after_step()
        >>> model.soft_labels(x).shape
        torch.Size([12, 3])
    """

    def __init__(
        self,
        encoder: nn.Module | Sequence[nn.Module],
        channels: int,
        max_clusters: int,
        peers: int = 3,
        soft_weight: float = 0.5,
        metric_weight: float = 3.0,
        nuclear_weight: float = 1.5,
        smoothing: float = 0.1,
        decay: float = 0.999,
        statistics: str = "own",
        variant: str = "paper",
    ) -> None:
        super().__init__()
        check_options(peers, soft_weight, smoothing, decay, statistics, variant)
        if isinstance(encoder, nn.Module):
            encoder = [encoder, *(redrawn(encoder) for _ in range(peers - 1))]
        if len(encoder) != peers:
            raise ValueError(f"'encoder' holds {len(encoder)} networks for {peers} peers")
        self.soft_weight, self.metric_weight = soft_weight, metric_weight
        self.nuclear_weight, self.smoothing, self.variant = nuclear_weight, smoothing, variant
        self.max_clusters = max_clusters
        heads = [CentroidHead(channels, max_clusters) for _ in range(peers)]
        pairs = zip(encoder, heads, strict=True)
        # An average that teaches nobody is shown nothing, and has no statistics of its own.
        statistics = statistics if soft_weight else "copied"
        self.peers = nn.ModuleList(Peer(one, head) for one, head in pairs)
        self.averages = nn.ModuleList(
            EmbeddingAverage(peer, decay, statistics) for peer in self.peers
        )

    @property
    def pairs(self) -> list[tuple[Any, Any]]:
        """Each network and its moving average."""
        return list(zip(self.peers, self.averages, strict=True))

    @property
    def adapting(self) -> bool:
        """Whether a round on the target was started."""
        return int(self.pairs[0][1].n_averaged) > 0

    @property
    def clusters(self) -> Tensor:
        """The numbers of the clusters, or of the source's classes, in use."""
        return self.pairs[0][0].head.active.nonzero().squeeze(1)

    @property
    def views(self) -> int:
        """How many views a loss takes: one for each peer, and two for a single one."""
        return max(len(self.peers), 2)

    def teachers(self) -> list[Any]:
        """The networks whose features count: averages, before the first round the peers."""
        return [average.module if self.adapting else peer for peer, average in self.pairs]

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings, averaged over the peers, of length one."""
        features = [normalize(one.encoder(x), dim=1) for one in self.teachers()]
        return normalize(torch.stack(features).mean(0), dim=1)

    @torch.no_grad()
    def embed(self, x: Tensor, batch_size: int = 512) -> Tensor:
        """Embeddings in evaluation mode, without gradients, in parts."""
        with evaluating(self):
            parts = [self(part) for part in x.split(batch_size)]
        return torch.cat(parts)

    @torch.no_grad()
    def soft_labels(self, x: Tensor, batch_size: int = 512) -> Tensor:
        """What the averages say of images, averaged over the peers: shares of the clusters."""
        with evaluating(self):
            shares = [
                torch.stack([one(part)[1].softmax(1) for one in self.teachers()]).mean(0)
                for part in x.split(batch_size)
            ]
        return torch.cat(shares)

    def open(self, count: int) -> None:
        """Takes so many classes of the source into use."""
        for peer, _ in self.pairs:
            peer.head.open(count)

    def start_round(self, features: Tensor, label: Tensor) -> None:
        """Classifiers of all networks begin at the centroids; averages at the peers, once.

        Args:
            features (torch.Tensor): Embeddings of all images.
            label (torch.Tensor): Their clusters; -1 for none.
        """
        for peer, average in self.pairs:
            peer.head.restart(features, label)
            if int(average.n_averaged) == 0:
                average.update_parameters(peer)
            average.module.head.restart(features, label)

    def after_step(self) -> None:
        """Moves the averages; before the first round there are none."""
        if self.adapting:
            for peer, average in self.pairs:
                average.update_parameters(peer)

    def loss(self, views: Sequence[Tensor], y: Tensor, rows: Tensor | None = None) -> Tensor:
        """The loss of a batch: :meth:`target_loss`, before the first round :meth:`source_loss`."""
        return self.target_loss(views, y) if self.adapting else self.source_loss(views, y)

    def source_loss(
        self, views: Sequence[Tensor], y: Tensor, nuclear_weight: float = 2.0
    ) -> Tensor:
        """Smoothed cross entropy, multi-similarity and nuclear norm, on true labels.

        Args:
            views (sequence of torch.Tensor): A view for each peer.
            y (torch.Tensor): Classes.
            nuclear_weight (float, optional): Of the nuclear norm. (default: :obj:`2.0`)
        """
        self.check(views)
        total = y.new_zeros((), dtype=torch.float)
        for (peer, _), view in zip(self.pairs, views, strict=False):
            f, logits = peer(view)
            total = total + smoothed_cross_entropy(logits, y, peer.head.active, self.smoothing)
            total = total + multi_similarity_loss(f, y, variant=self.variant)
            total = total + nuclear_weight * batch_nuclear_norm(logits)
        return total

    def target_loss(self, views: Sequence[Tensor], y: Tensor) -> Tensor:
        """The loss above, on clusters."""
        self.check(views)
        outputs = [peer(view) for peer, view in zip(self.peers, views, strict=False)]
        total = y.new_zeros((), dtype=torch.float)
        for k, (f, logits) in enumerate(outputs):
            head = self.pairs[k][0].head
            hard = smoothed_cross_entropy(logits, y, head.active, self.smoothing)
            terms = {"hard labels": (1 - self.soft_weight, hard)}
            if self.soft_weight:
                terms["soft_weight"] = self.soft_weight, self.imitation(k, logits, views)
            if self.metric_weight:
                metric = multi_similarity_loss(f, y, variant=self.variant)
                terms["metric_weight"] = self.metric_weight, metric
            if self.nuclear_weight:
                terms["nuclear_weight"] = self.nuclear_weight, batch_nuclear_norm(logits)
            watch_terms(self.peers[k], terms, self.peers[k].parameters())
            for weight, term in terms.values():
                total = total + weight * term
        return total

    def imitation(self, k: int, logits: Tensor, views: Sequence[Tensor]) -> Tensor:
        """Cross entropy of a peer with the average of the next one, on the next view."""
        teacher = self.averages[(k + 1) % len(self.peers)]
        with torch.no_grad():
            target = teacher(views[(k + 1) % self.views])[1].softmax(1)
        # Clusters out of use are at minus infinity and have no share: 0 times it would be NaN.
        logs = logits.log_softmax(1).masked_fill(target == 0, 0.0)
        return -(target * logs).sum(1).mean()

    def check(self, views: Sequence[Tensor]) -> None:
        """Refuses by name too few views, and a loss without classes."""
        if len(views) < self.views:
            raise ValueError(
                f"'views' holds {len(views)}, and {len(self.peers)} peers take {self.views}"
            )
        if not len(self.clusters):
            raise ValueError("there is no class yet: call open() or start_round() first")


def mixed(old: Tensor, new: Tensor, count: Tensor | int, decay: float) -> Tensor:
    """An averaged parameter after another step; the first one that counts is step 0."""
    return torch.lerp(new, old, min(1 - 1 / float(count), decay))


def redrawn(module: nn.Module) -> nn.Module:
    """A copy whose parameters are drawn anew."""
    twin = copy.deepcopy(module)
    for part in twin.modules():
        if callable(reset := getattr(part, "reset_parameters", None)):
            reset()
    return twin


def check_options(
    peers: int, soft_weight: float, smoothing: float, decay: float, statistics: str, variant: str
) -> None:
    """Refuses by name what is out of range."""
    if peers < 1:
        raise ValueError(f"'peers' must be at least 1, got {peers}")
    for name, value in (("soft_weight", soft_weight), ("smoothing", smoothing), ("decay", decay)):
        if not 0 <= value <= 1:
            raise ValueError(f"'{name}' must be in [0, 1], got {value}")
    if statistics not in ("own", "copied"):
        raise ValueError(f"'statistics' must be 'own' or 'copied', got {statistics!r}")
    if variant not in ("paper", "released"):
        raise ValueError(f"'variant' must be 'paper' or 'released', got {variant!r}")
