"""Representations that know who it is and not where, although the two go together in the data."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.grad_scale import grad_scale
from graphkit.lopsided import watch_terms
from graphkit.modes import evaluating
from graphkit.precision import normalize, wide
from graphkit.vision.group_moments import GroupMoments
from graphkit.vision.reid.intervention import Intervention
from graphkit.words import refuse_class

__all__ = ["DCCD", "hard_triplet_loss"]


@method(
    paper="arXiv:2106.15206",
    title="Domain-Class Correlation Decomposition for Generalizable Person Re-Identification",
    authors="Kaiwen Yang, Xinmei Tian",
    venue="IEEE Transactions on Multimedia",
    year=2023,
    code=None,
    licence="none",
    takes="a network of features, samples with identities and domains",
    gives="representations without the correlation of identity and domain",
    deviations=[
        "written from the abstract, there is no released code: symmetric roots, momentum, "
        "weights, the domain classifier and warm-up are ours",
        "the intervention is drawn among the domains that were seen, the own one included",
        "samples as they are can be trained on beside, share factual",
        "features may be those of a graph's nodes, domains its environments, whose moments may be "
        "those of all nodes",
    ],
    limits=[
        "embeddings of GNNs over graph environments: it loses to plain training there",
        "cameras that change little: real drawers alone gain nothing",
    ],
)
class DCCD(nn.Module):
    r"""Domain-class correlation decomposition of the `"Domain-Class Correlation Decomposition for
    Generalizable Person Re-Identification" <https://arxiv.org/abs/2106.15206>`_ paper.

    Where every domain has identities of its own, representations without the domain,
    :math:`z \perp d`, are bound to lose identity:

    .. math::
        I(z; y) \le I(z; y, d) = I(z; y \mid d) \le H(y \mid d) = H(y) - I(y; d)

    So the domain is set by an intervention first, :math:`z^* = do(d = d^*)` of
    :class:`Intervention` with :math:`d^*` drawn without regard to the identity, and the losses
    are those of :math:`(z^*, y, d^*)`:

    .. math::
        \mathcal{L} = \mathcal{L}_{id}(z^*, y) + \mathcal{L}_{triplet}(z^*, y) +
        \mathcal{L}_{domain}\big(R_\lambda(z^*), d^*\big)

    with a smoothed cross entropy, :func:`hard_triplet_loss` and a domain classifier behind a
    reversal :math:`R_\lambda` of the gradient. Moments of the domains are a bank that each batch
    updates with a momentum. With ``interventions=0`` it is plain training, or, with
    :math:`\lambda > 0`, domain-adversarial training.

    Moments must be those of the domain and not of the identities in it: with a few classes in each
    domain, or fewer identities than channels and no other variety, matching them moves identities
    onto each other. Samples of the domain without an identity help, such as all nodes of a graph:
    see ``population`` of :meth:`loss`. On digits and characters it is the swapped domain that
    gains; a domain that was never seen does not, see the recipes ``dccd-…``.

    Called, it gives the representations, to be compared by cosines. :meth:`loss` is the objective
    of a batch, for any loop. A step costs one pass of ``features`` and :math:`M` symmetric
    eigenproblems of width :math:`C`.

    Args:
        features (torch.nn.Module): Inputs to representations :math:`(N, C)`, before any
            normalisation of the classifier.
        channels (int): :math:`C`.
        num_classes (int): Identities.
        num_domains (int): Domains :math:`M`.
        order (int, optional): Moments that are matched, 1 or 2. (default: :obj:`2`)
        interventions (int, optional): Per sample and step. (default: :obj:`1`)
        factual (float, optional): Weight of the losses of samples as they are, in [0, 1], beside
            those of interventions. (default: :obj:`0.0`)
        weight (float, optional): :math:`\lambda`, 0 leaves the domain classifier out.
            (default: :obj:`0.1`)
        triplet (float, optional): Weight of the triplet loss. (default: :obj:`1.0`)
        margin (float, optional): Of the triplet loss. (default: :obj:`0.3`)
        smoothing (float, optional): Of labels. (default: :obj:`0.1`)
        momentum (float, optional): Of the bank. (default: :obj:`0.9`)
        warm (int, optional): Calls of :meth:`loss` before the first intervention, for the bank of
            a network that changes fast. (default: :obj:`0`)
        shrink, floor, every: As in :class:`Intervention`. (default: 0.1, 1e-3 and 1)

    Shapes:
        - **input:** what ``features`` takes
        - **output:** representations :math:`(N, C)`; :meth:`logits` :math:`(N, K)`

    Raises:
        ValueError: If an option is out of range, or identities or domains do not fit.

    Warns:
        LopsidedWarning: If, in the second call, the gradient of a term on representations is over
            a thousand times that of another, and its weight over a hundred times.

    Example:
        >>> import torch
        >>> from graphkit.vision import DCCD
        >>> model = DCCD(torch.nn.Linear(5, 4), 4, num_classes=6, num_domains=2)
        >>> x, y = torch.rand(12, 5), torch.arange(12) % 6
        >>> model.loss(x, y=y, domain=y % 2).backward()
        >>> model(x).shape, model.logits(x).shape
        (torch.Size([12, 4]), torch.Size([12, 6]))
    """

    calls: Tensor

    def __init__(
        self,
        features: nn.Module,
        channels: int,
        num_classes: int,
        num_domains: int,
        order: int = 2,
        interventions: int = 1,
        factual: float = 0.0,
        weight: float = 0.1,
        triplet: float = 1.0,
        margin: float = 0.3,
        smoothing: float = 0.1,
        momentum: float = 0.9,
        warm: int = 0,
        shrink: float = 0.1,
        floor: float = 1e-3,
        every: int = 1,
    ) -> None:
        super().__init__()
        refuse_class("features", features)
        if min(channels, num_classes, num_domains) < 1:
            raise ValueError(
                "'channels', 'num_classes' and 'num_domains' must be positive, got "
                f"{channels}, {num_classes} and {num_domains}"
            )
        for name, value in (
            ("interventions", interventions),
            ("weight", weight),
            ("triplet", triplet),
            ("margin", margin),
            ("warm", warm),
        ):
            if not value >= 0:
                raise ValueError(f"'{name}' must not be negative, got {value}")
        for name, value in (("factual", factual), ("smoothing", smoothing)):
            if not 0 <= value <= 1:
                raise ValueError(f"'{name}' must be in [0, 1], got {value}")
        self.features, self.interventions, self.factual = features, interventions, factual
        self.weight, self.triplet, self.margin = weight, triplet, margin
        self.smoothing, self.warm = smoothing, warm
        self.head = nn.Linear(channels, num_classes)
        self.domain_head = nn.Sequential(
            nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, num_domains)
        )
        moments = GroupMoments(num_domains, channels, momentum)
        self.intervention = Intervention(moments, order, shrink, floor, every)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    @property
    def bank(self) -> GroupMoments:
        """The moments of the domains."""
        return self.intervention.moments

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Representations."""
        return self.features(*args, **kwargs)

    def logits(self, *args: Any, **kwargs: Any) -> Tensor:
        """Logits of the identities."""
        return self.head(self.features(*args, **kwargs))

    def loss(
        self,
        *args: Any,
        y: Tensor,
        domain: Tensor,
        rows: Tensor | None = None,
        population: Tensor | None = None,
        generator: torch.Generator | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """The objective of a batch.

        Args:
            *args, **kwargs: What ``features`` takes.
            y (torch.Tensor): Identities of the samples that count.
            domain (torch.Tensor): Their domains.
            rows (torch.Tensor, optional): Those samples, such as some nodes of a graph.
                (default: all)
            population (torch.Tensor, optional): The domain of every sample that ``features``
                gives, -1 for none: whose moments the bank holds. Nodes of a graph tell of their
                environment also where they have no identity. (default: those that count)
            generator (torch.Generator, optional): What draws the interventions.
        """
        whole = self.features(*args, **kwargs)
        z = whole if rows is None else whole[rows]
        if not len(z):
            raise ValueError("there is no sample: 'y' is empty")
        check_numbers("y", y, len(z), self.head.out_features)
        check_numbers("domain", domain, len(z), len(self.bank.count))
        self.observe(*((z, domain) if population is None else (whole, population)))
        self.calls += 1
        count = self.interventions if int(self.calls) > self.warm else 0
        total = z.new_zeros(())
        for _ in range(count):
            target = self.intervention.draw(len(z), generator)
            moved = self.intervention(z, domain, target)
            total = total + self.part(moved, y, target) / count
        if not count:
            return self.part(z, y, domain)
        return total if not self.factual else total + self.factual * self.part(z, y, domain)

    def observe(self, z: Tensor, domain: Tensor) -> None:
        """Takes samples into the moments of their domains; -1 is in none."""
        if domain.shape != z.shape[:1] or domain.dtype != torch.long:
            raise ValueError(
                f"'population' must be int64 of shape [{len(z)}], got {domain.dtype} "
                f"{list(domain.shape)}"
            )
        inside = domain >= 0
        check_numbers("population", domain[inside], int(inside.sum()), len(self.bank.count))
        self.bank.update(z[inside], domain[inside])

    def part(self, z: Tensor, y: Tensor, domain: Tensor) -> Tensor:
        """All losses of some representations."""
        total = F.cross_entropy(self.head(z), y, label_smoothing=self.smoothing)
        terms = {"identities": (1.0, total)}
        if self.triplet:
            apart = hard_triplet_loss(z, y, self.margin)
            terms["triplet"] = self.triplet, apart
            total = total + self.triplet * apart
        if self.weight:
            reversed_error = F.cross_entropy(self.domain_head(grad_scale(z, -self.weight)), domain)
            # Its gradient on the representations has the weight already.
            terms["weight"] = self.weight, reversed_error / self.weight
            total = total + reversed_error
        watch_terms(self, terms, [z])
        return total

    @torch.no_grad()
    def counterfactuals(self, *args: Any, domain: Tensor, target: Tensor, **kwargs: Any) -> Tensor:
        """Representations in other domains than their own, in evaluation mode.

        Args:
            *args, **kwargs: What ``features`` takes.
            domain, target (torch.Tensor): The domain of each sample, and the other one.
        """
        with evaluating(self):
            return self.intervention(self.features(*args, **kwargs), domain, target)


def check_numbers(name: str, value: Tensor, count: int, below: int) -> None:
    """Refuses identities or domains that do not fit."""
    if value.shape != (count,) or value.dtype != torch.long:
        raise ValueError(
            f"'{name}' must be int64 of shape [{count}], got {value.dtype} {list(value.shape)}"
        )
    if not 0 <= int(value.min()) <= int(value.max()) < below:
        raise ValueError(
            f"'{name}' must be in 0 … {below - 1}, got {int(value.min())} … {int(value.max())}"
        )


def hard_triplet_loss(z: Tensor, y: Tensor, margin: float = 0.3) -> Tensor:
    r"""The triplet loss with the hardest pairs of a batch, of the `"In Defense of the Triplet Loss
    for Person Re-Identification" <https://arxiv.org/abs/1703.07737>`_ paper.

    .. math::
        \frac{1}{|A|} \sum_{i \in A} \max\big( \max_{p: y_p = y_i} d_{ip} -
        \min_{n: y_n \ne y_i} d_{in} + m, 0 \big)

    with Euclidean distances of normalised embeddings and the anchors :math:`A` that have another
    of their label and one of another label. Time and memory grow with :math:`B^2`.

    Args:
        z (torch.Tensor): Embeddings.
        y (torch.Tensor): Labels.
        margin (float, optional): :math:`m`. (default: :obj:`0.3`)

    Shapes:
        - **input:** :math:`(B, C)` and :math:`(B)`
        - **output:** a scalar, 0 where no anchor has both

    Example:
        >>> import torch
        >>> from graphkit.vision import hard_triplet_loss
        >>> hard_triplet_loss(torch.eye(2)[[0, 0, 1]], torch.tensor([0, 0, 1]))
        tensor(0.)
    """
    if z.dim() != 2 or y.shape != z.shape[:1]:
        raise ValueError(f"'z' must be [B, C] and 'y' [B], got {list(z.shape)} and {list(y.shape)}")
    unit = normalize(wide(z))
    # The square root has no gradient at 0, where embeddings coincide.
    distance = (2 - 2 * unit @ unit.t()).clamp(min=1e-6).sqrt()
    same = y.unsqueeze(0) == y.unsqueeze(1)
    other = ~same
    same = same & ~torch.eye(len(y), dtype=torch.bool, device=y.device)
    anchors = same.any(1) & other.any(1)
    if not anchors.any():
        return z.sum() * 0.0
    far = distance.masked_fill(~same, -torch.inf).amax(1)[anchors]
    near = distance.masked_fill(~other, torch.inf).amin(1)[anchors]
    return F.relu(far - near + margin).mean().to(z.dtype)
