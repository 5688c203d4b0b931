"""How far two samples are apart, as if both were Gaussian."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["frechet_distance"]


def frechet_distance(first: Tensor, second: Tensor) -> Tensor:
    r"""The squared Fréchet distance of two Gaussians fitted to features, as in the `"GANs Trained
    by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium"
    <https://arxiv.org/abs/1706.08500>`_ paper.

    .. math::
        d^2 = \lVert \mu_1 - \mu_2 \rVert^2 + \mathrm{tr} \big( \Sigma_1 + \Sigma_2
        - 2 (\Sigma_1^{1/2} \Sigma_2 \Sigma_1^{1/2})^{1/2} \big)

    In double precision; 0 for equal samples, and symmetric. It is biased upward for few samples:
    compare distances of samples of one size. Time grows with :math:`N F^2 + F^3`.

    Args:
        first, second (torch.Tensor): Features of either sample.

    Shapes:
        - **input:** :math:`(N, F)` and :math:`(M, F)`
        - **output:** a scalar

    Raises:
        ValueError: If shapes do not fit, a sample has fewer than two rows, or values are not
            finite.

    Example:
        >>> import torch
        >>> x = torch.tensor([[0.0], [2.0]])
        >>> float(frechet_distance(x, x + 3))
        9.0
    """
    moments = []
    for name, x in (("first", first), ("second", second)):
        if x.dim() != 2 or len(x) < 2 or x.size(1) != first.size(1):
            raise ValueError(
                f"'{name}' must have shape [N, F], N at least 2 and F as in 'first', "
                f"got {list(x.shape)}"
            )
        if not x.isfinite().all():
            raise ValueError(f"'{name}' holds NaN or infinite values")
        x = x.detach().double()
        moments.append((x.mean(0), torch.atleast_2d(x.t().cov())))
    (mean, spread), (other_mean, other_spread) = moments
    values, vectors = torch.linalg.eigh(spread)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.t()
    # The product of the covariances is not symmetric; this one has the same eigenvalues and is.
    cross = torch.linalg.eigvalsh(root @ other_spread @ root).clamp(min=0).sqrt().sum()
    distance = (
        (mean - other_mean).square().sum() + spread.trace() + other_spread.trace() - 2 * cross
    )
    return distance.clamp(min=0)
