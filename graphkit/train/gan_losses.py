"""Losses of adversarial pairs, on the scores of a discriminator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["GAN_LOSSES", "GANLoss", "gan_loss"]

PerScore = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class GANLoss:
    r"""What the two players of an adversarial pair minimise, score by score.

    .. math::
        \mathcal{L}_D = \overline{r(D(x))} + \overline{f(D(G(z)))}, \qquad
        \mathcal{L}_G = \overline{g(D(G(z)))}

    The pair is symmetric where :math:`g = -f`: then the generator climbs what the discriminator
    descends.

    Args:
        name (str): Its name.
        real (callable): :math:`r`, from scores to losses of the same shape.
        fake (callable): :math:`f`.
        generator (callable): :math:`g`.
        symmetric (bool, optional): Whether :math:`g = -f` everywhere. (default: :obj:`False`)

    Example:
        >>> import torch
        >>> from graphkit.train import gan_loss
        >>> loss = gan_loss("wgan")
        >>> loss.discriminator(torch.tensor([3.0]), torch.tensor([1.0]))
        tensor(-2.)
    """

    name: str
    real: PerScore
    fake: PerScore
    generator: PerScore
    symmetric: bool = False

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's loss; no score counts as 0."""
        return mean(self.real(real)) + mean(self.fake(fake))

    def seeds(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Derivatives of both players' losses by each score of a fake sample, without the mean.

        Args:
            scores (torch.Tensor): Scores of fake samples.
        """
        with torch.enable_grad():
            leaf = scores.detach().requires_grad_()
            losses = self.fake(leaf).sum(), self.generator(leaf).sum()
            first, second = (torch.autograd.grad(loss, leaf)[0] for loss in losses)
        return first, second


def mean(losses: Tensor) -> Tensor:
    """The mean; 0, not NaN, where there is nothing."""
    return losses.sum() / max(losses.numel(), 1)


GAN_LOSSES = {
    loss.name: loss
    for loss in (
        GANLoss("bce", lambda s: F.softplus(-s), F.softplus, lambda s: F.softplus(-s)),
        GANLoss("saturating", lambda s: F.softplus(-s), F.softplus, lambda s: -F.softplus(s), True),
        GANLoss(
            "lsgan",
            lambda s: (s - 1).square() / 2,
            lambda s: s.square() / 2,
            lambda s: (s - 1).square() / 2,
        ),
        GANLoss("hinge", lambda s: F.relu(1 - s), lambda s: F.relu(1 + s), torch.neg),
        GANLoss("wgan", torch.neg, torch.clone, torch.neg, True),
    )
}


def gan_loss(loss: str | GANLoss) -> GANLoss:
    """A loss by its name, or the loss itself.

    ``"bce"`` is the non-saturating pair, ``"saturating"`` the symmetric one it replaced,
    ``"lsgan"`` has the targets 0, 1 and 1, ``"hinge"`` and ``"wgan"`` are those of their papers.

    Args:
        loss (str or GANLoss): One of these.

    Raises:
        ValueError: If there is no loss of that name.

    Example:
        >>> gan_loss("hinge").symmetric
        False
    """
    if isinstance(loss, GANLoss):
        return loss
    if loss not in GAN_LOSSES:
        raise ValueError(f"'loss' must be one of {[*GAN_LOSSES]} or a GANLoss, got {loss!r}")
    return GAN_LOSSES[loss]
