"""Adversarial training that also aligns what style says of the label."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.lopsided import watch_terms
from graphkit.modes import evaluating, frozen
from graphkit.precision import normalize, positive, wide
from graphkit.vision.attacks import Bounds, pgd
from graphkit.vision.group_moments import GroupMoments
from graphkit.words import refuse_class

__all__ = ["CausalAdv"]


@method(
    paper="arXiv:2106.06196",
    title="CausalAdv: Adversarial Robustness through the Lens of Causality",
    authors="Yonggang Zhang, Mingming Gong, Tongliang Liu, Gang Niu, Xinmei Tian, Bo Han, "
    "Bernhard Schoelkopf, Kun Zhang",
    venue="ICLR 2022",
    year=2022,
    code="https://github.com/YonggangZhangUSTC/CausalAdv",
    licence="none",
    takes="a network of features, samples with labels",
    gives="a classifier trained on attacked samples; content and style of a sample",
    deviations=[
        "written from the abstract and a description of the released program",
        "style rows are projected by one QR decomposition, exactly uncorrelated with all content "
        "logits; the released program projects direction by direction, which is exact for the "
        "last one alone",
        "rows that are projected are drawn once; the released program draws anew in every batch",
        "the style classifier moves in the same step as the network, not in a step before it",
        "alpha is 0.1 by default: on small data larger ones cost accuracy, see causaladv-digits",
        "features may be those of a graph's nodes, attacked in the features of all nodes",
        "the ball of the attack may grow with the first calls (eps_ramp), so that a small network "
        "learns at all where eps is large; the paper has the whole ball from the start",
    ],
    limits=[
        "accuracy over Madry's training: level within its spread on digits, MNIST and Cora",
    ],
)
class CausalAdv(nn.Module):
    r"""Adversarial training of the `"CausalAdv: Adversarial Robustness through the Lens of
    Causality" <https://arxiv.org/abs/2106.06196>`_ paper: what the style :math:`s` of a sample
    says of its label shall not change under attack either.

    .. math::
        \max_{\lVert \tilde x - x \rVert_\infty \le \epsilon} \;
        \mathcal{L}_x + \alpha \, H\big(p_g(s), p_g(\tilde s)\big), \qquad
        s = B \frac{f(x)}{\lVert f(x) \rVert}, \qquad W \Sigma B^\top = 0

    with features :math:`f`, logits :math:`W f`, a classifier :math:`g` of styles, the running
    covariance :math:`\Sigma` of normalised features, and the cross entropy :math:`H`. In variant
    ``"M"`` :math:`\mathcal{L}_x` is the cross entropy of attacked samples, as Madry's; in ``"T"``
    it is :math:`\beta \, \mathrm{KL}(p_h(x) \Vert p_h(\tilde x))`, as in TRADES, and the cross
    entropy of natural samples is added outside. :math:`g` learns labels from natural styles, with
    logits raised by :math:`\tfrac12 r (w_j - w_y)^\top \Sigma_y (w_j - w_y)` for the covariance
    :math:`\Sigma_y` of its inner features.

    With :math:`\alpha = 0` the network's steps are those of Madry or TRADES, bit for bit. On
    small data no gain over them is seen: the recipes ``causaladv-…`` say how much.

    :meth:`loss` is the objective of a batch, for any loop, one optimizer over all parameters; in
    evaluation mode the model is a plain classifier. A step costs ``steps`` + 3 passes. The basis
    :math:`B` is that of the last batch; :meth:`refresh` makes it that of the head as it is now.

    Args:
        features (torch.nn.Module): Inputs to features :math:`(N, D)`; its first argument is what
            is attacked. A normalisation of inputs belongs inside.
        channels (int): :math:`D`, more than classes.
        num_classes (int): Classes.
        variant (str, optional): ``"M"`` or ``"T"``. (default: ``"M"``)
        alpha (float, optional): :math:`\alpha`. (default: :obj:`0.1`)
        eps, step, steps, bounds: The attack, as in :func:`pgd`. (default: 0.031, 0.007, 10 and
            0 to 1)
        beta (float, optional): :math:`\beta`. (default: :obj:`6.0`)
        ramp (int, optional): Calls of :meth:`loss` over which :math:`\alpha` and :math:`r` rise
            from 0; the paper has all of the training. (default: :obj:`0`, from the start)
        ramp_attack (bool, optional): They rise in the attack as well. (default: :obj:`False`)
        eps_ramp (int, optional): Calls of :meth:`loss` over which ``eps`` and ``step`` of its
            attacks rise from 0. Where ``eps`` is large, a network that meets the whole ball at
            once may stay at chance. (default: :obj:`0`, from the start, as in the paper)

    Shapes:
        - **input:** what ``features`` takes
        - **output:** logits :math:`(N, K)`

    Raises:
        ValueError: If an option is out of range, there are no more channels than classes, labels
            do not fit, or features are not finite.

    Warns:
        LopsidedWarning: If, in the second call, the gradient of a term on the features is over
            a thousand times that of another, and its weight over a hundred times.

    Example:
        >>> import torch
        >>> from graphkit.vision import CausalAdv
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 8), torch.nn.ReLU())
        >>> model = CausalAdv(net, 8, num_classes=3, eps=0.1, step=0.05, steps=2)
        >>> x, y = torch.rand(6, 1, 4, 4), torch.tensor([0, 1, 2, 0, 1, 2])
        >>> model.loss(x, y=y).backward()
        >>> model(x).shape, bool(((model.attack(x, y=y) - x).abs() <= 0.1 + 1e-6).all())
        (torch.Size([6, 3]), True)
    """

    basis: Tensor
    frame: Tensor
    calls: Tensor

    def __init__(
        self,
        features: nn.Module,
        channels: int,
        num_classes: int,
        variant: str = "M",
        alpha: float = 0.1,
        eps: float = 0.031,
        step: float = 0.007,
        steps: int = 10,
        bounds: Bounds = (0.0, 1.0),
        beta: float = 6.0,
        ramp: int = 0,
        ramp_attack: bool = False,
        eps_ramp: int = 0,
    ) -> None:
        super().__init__()
        refuse_class("features", features)
        if variant not in ("M", "T"):
            raise ValueError(f"'variant' must be 'M' or 'T', got {variant!r}")
        if num_classes < 2 or channels <= num_classes:
            raise ValueError(
                f"'channels' must be more than 'num_classes', and these at least 2, got {channels} "
                f"and {num_classes}: content takes a direction for every class, style the others"
            )
        options = {"alpha": alpha, "beta": beta, "ramp": ramp, "eps_ramp": eps_ramp}
        for name, value in options.items():
            if not value >= 0:
                raise ValueError(f"'{name}' must not be negative, got {value}")
        self.features, self.variant = features, variant
        self.alpha, self.beta, self.ramp, self.ramp_attack = alpha, beta, ramp, ramp_attack
        self.eps_ramp = eps_ramp
        self.eps, self.step, self.steps, self.bounds = eps, step, steps, bounds
        self.head = nn.Linear(channels, num_classes, bias=False)
        self.style_classifier = StyleClassifier(channels, num_classes)
        self.moments = GroupMoments(1, channels)
        self.register_buffer("frame", torch.randn(channels, channels))
        self.register_buffer("basis", torch.empty(channels, channels))
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.refresh()

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Logits."""
        return self.head(self.features(*args, **kwargs))

    def style(self, f: Tensor) -> Tensor:
        """Styles of features, :math:`(N, D)`, of rank :math:`D - K`."""
        return normalize(f) @ self.basis.t().to(f.dtype)

    @torch.no_grad()
    def refresh(self) -> None:
        """Computes the basis of styles from the head and the covariance so far."""
        # As many samples as channels leave no direction without variance.
        known = int(self.moments.count) > self.frame.size(0)
        cov = self.moments.cov[0] if known else torch.eye(self.frame.size(0)).to(self.frame)
        # A new tensor: a backward pass that is still to come needs the one of before.
        self.basis = style_basis(self.head.weight, cov, self.frame)

    def share(self) -> float:
        """How much of alpha counts by now."""
        return min(int(self.calls) / self.ramp, 1.0) if self.ramp else 1.0

    def reach(self) -> float:
        """How much of eps training attacks with by now."""
        return min(int(self.calls) / self.eps_ramp, 1.0) if self.eps_ramp else 1.0

    def attack(
        self, x: Tensor, *args: Any, y: Tensor, rows: Tensor | None = None, **kwargs: Any
    ) -> Tensor:
        """Inputs attacked with all of ``eps``; the model is left as it is.

        Args:
            x (torch.Tensor): Inputs.
            *args, **kwargs: What ``features`` takes besides.
            y (torch.Tensor): Labels of the samples that count.
            rows (torch.Tensor, optional): Those samples, such as some nodes of a graph; the
                inputs of all are attacked. (default: all)
        """
        with frozen(self), torch.no_grad():
            f = pick(self.features(x, *args, **kwargs), y, rows, self.head)
        return self.attack_from(f, x, args, y, rows, kwargs)

    def attack_from(
        self,
        f: Tensor,
        x: Tensor,
        args: tuple[Any, ...],
        y: Tensor,
        rows: Tensor | None,
        kwargs: dict[str, Any],
        reach: float = 1.0,
    ) -> Tensor:
        """The attack, given natural features in evaluation mode and how much of eps it has."""
        share = self.share() if self.ramp_attack else 1.0
        with frozen(self):
            natural = self.head(f).softmax(1)
            target = self.style_classifier.augmented(self.style(f), y, share).softmax(1)

            def loss(adversarial: Tensor) -> Tensor:
                attacked = pick(self.features(adversarial, *args, **kwargs), y, rows, self.head)
                logits = self.head(attacked)
                if self.variant == "M":
                    total = F.cross_entropy(logits, y)
                else:
                    total = self.beta * divergence(natural, logits)
                if self.alpha * share:
                    guess = self.style_classifier.augmented(self.style(attacked), y, share)
                    total = total + self.alpha * share * F.cross_entropy(guess, target)
                return total

            eps, step = reach * self.eps, reach * self.step
            noise = eps if self.variant == "M" else min(0.001, eps)
            return pgd(loss, x, eps, step, self.steps, self.bounds, noise)

    def loss(
        self, x: Tensor, *args: Any, y: Tensor, rows: Tensor | None = None, **kwargs: Any
    ) -> Tensor:
        """The objective of a batch.

        Args:
            x, *args, y, rows, **kwargs: As in :meth:`attack`.
        """
        with evaluating(self), torch.no_grad():
            f = pick(self.features(x, *args, **kwargs), y, rows, self.head)
            if not f.isfinite().all():
                raise ValueError("'features' gives NaN or infinite values")
            self.moments.update(normalize(wide(f)))
            # The head has moved since the last batch, and styles are what it does not see.
            self.refresh()
        share, style = self.share(), self.style(f)
        attacked = self.attack_from(f, x, args, y, rows, kwargs, self.reach())
        g = pick(self.features(attacked, *args, **kwargs), y, rows, self.head)
        logits = self.head(g)
        # Madry's step has no pass of natural samples: they would count in batch statistics.
        if self.variant == "T" or self.alpha * share:
            f = pick(self.features(x, *args, **kwargs), y, rows, self.head)
        terms: dict[str, tuple[float, Tensor]] = {}
        if self.variant == "M":
            total = F.cross_entropy(logits, y)
            terms["labels"] = 1.0, total
        else:
            natural = self.head(f)
            total = F.cross_entropy(natural, y)
            attacks = divergence(natural.softmax(1), logits)
            terms |= {"labels": (1.0, total), "beta": (self.beta, attacks)}
            total = total + self.beta * attacks
        if self.alpha * share:
            with frozen(self.style_classifier):
                before, after = (
                    self.style_classifier.augmented(self.style(one), y, share) for one in (f, g)
                )
            styles = F.cross_entropy(after, before.softmax(1))
            terms["alpha"] = self.alpha * share, styles
            total = total + self.alpha * share * styles
        watch_terms(self, terms, self.features.parameters())
        self.calls += 1
        return total + self.style_classifier.loss(style, y, share)


class StyleClassifier(nn.Module):
    """Labels from styles, with logits that stand for samples spread as their class is.

    Args:
        channels, num_classes (int): Of styles and labels.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        half = max(channels // 2, 1)
        self.body = nn.Sequential(
            nn.Linear(channels, half),
            nn.BatchNorm1d(half),
            nn.ReLU(),
            nn.Linear(half, channels),
            nn.ReLU(),
        )
        self.head = nn.Linear(channels, num_classes)
        self.moments = GroupMoments(num_classes, channels)

    def forward(self, style: Tensor) -> Tensor:
        """Logits."""
        return self.head(self.body(style))

    def augmented(self, style: Tensor, y: Tensor, ratio: float) -> Tensor:
        """Logits of samples with known labels, raised by the spread of their class."""
        return self(style) + 0.5 * ratio * self.spread()[y]

    def spread(self) -> Tensor:
        """The variance of each logit's lead over the label's, by label, ``[K, K]``."""
        apart = self.head.weight - self.head.weight.unsqueeze(1)
        return ((apart @ self.moments.cov.to(apart)) * apart).sum(2)

    def loss(self, style: Tensor, y: Tensor, ratio: float) -> Tensor:
        """Cross entropy; takes the inner features into the covariances."""
        with torch.no_grad(), evaluating(self):
            self.moments.update(normalize(wide(self.body(style))), y)
        if len(style) > 1:
            return F.cross_entropy(self.augmented(style, y, ratio), y)
        # Batch normalisation cannot train on a single sample.
        with evaluating(self):
            return F.cross_entropy(self.augmented(style, y, ratio), y)


def style_basis(weight: Tensor, cov: Tensor, frame: Tensor) -> Tensor:
    """Rows of length one, the frame's without what goes along the content directions.

    A style is uncorrelated with every content logit where the rows are orthogonal to
    ``cov @ weight.T``. Its columns are not orthogonal to each other, so they are made so first.
    """
    content = torch.linalg.qr(cov.double() @ weight.detach().double().t()).Q
    rows = frame.double()
    # Twice: what cancels in the first projection comes back as rounding error.
    for _ in range(2):
        rows = rows - (rows @ content) @ content.t()
    return normalize(rows).to(frame.dtype)


def divergence(natural: Tensor, logits: Tensor) -> Tensor:
    """Mean Kullback-Leibler divergence of attacked logits from natural probabilities."""
    # The logarithm of a probability that has underflowed would have no gradient; wide, for in half
    # precision the least number that is no zero counts where there are many classes.
    shares = positive(wide(natural), 0.0)
    return F.kl_div(wide(logits).log_softmax(1), shares, reduction="batchmean")


def pick(f: Tensor, y: Tensor, rows: Tensor | None, head: nn.Linear) -> Tensor:
    """Features of the samples that count; labels that do not fit are named."""
    if f.dim() != 2 or f.size(1) != head.in_features:
        raise ValueError(
            f"'features' gives shape {list(f.shape)}, expected [N, {head.in_features}]"
        )
    f = f if rows is None else f[rows]
    if y.shape != f.shape[:1] or y.dtype != torch.long:
        raise ValueError(f"'y' must be int64 of shape [{len(f)}], got {y.dtype} {list(y.shape)}")
    if len(y) == 0:
        raise ValueError("there is no sample: 'y' is empty")
    if not 0 <= int(y.min()) <= int(y.max()) < head.out_features:
        raise ValueError(
            f"'y' must be in 0 … {head.out_features - 1}, got {int(y.min())} … {int(y.max())}"
        )
    return f
