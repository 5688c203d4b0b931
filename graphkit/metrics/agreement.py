"""How far raters agree."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["intraclass_correlation"]


def intraclass_correlation(ratings: Tensor) -> Tensor:
    r"""ICC(3,1) of the `"Intraclass Correlations: Uses in Assessing Rater Reliability"
    <https://doi.org/10.1037/0033-2909.86.2.420>`_ paper: how consistent raters are, one of them
    being, for example, a network.

    .. math::
        \mathrm{ICC}(3, 1) = \frac{\mathrm{BMS} - \mathrm{EMS}}
        {\mathrm{BMS} + (K - 1) \, \mathrm{EMS}}

    with the mean squares between targets and of the error, after the raters' means are taken
    off. A rater that is always off by the same amount agrees perfectly; one that is right up to
    a factor does not, other than by correlation.

    Args:
        ratings (torch.Tensor): A row per target, a column per rater.

    Shapes:
        - **input:** :math:`(N, K)` or, for several quantities at once, :math:`(*, N, K)`
        - **output:** :math:`(*)`, in :math:`[-1 / (K - 1), 1]`

    Raises:
        ValueError: If there are fewer than two targets or raters, a rating is not finite, or no
            rater distinguishes any targets.

    Example:
        >>> import torch
        >>> truth = torch.tensor([1.0, 2.0, 3.0])
        >>> intraclass_correlation(torch.stack([truth, truth + 5], 1))
        tensor(1.)
    """
    if ratings.dim() < 2 or ratings.size(-2) < 2 or ratings.size(-1) < 2:
        raise ValueError(
            f"'ratings' must be [N, K] with two targets and two raters at least, got "
            f"{list(ratings.shape)}"
        )
    if not ratings.is_floating_point() or not ratings.isfinite().all():
        raise ValueError("'ratings' must hold finite floats")
    count, raters = ratings.shape[-2:]
    values = ratings.double()
    values = values - values.mean((-2, -1), keepdim=True)
    targets = values.mean(-1, keepdim=True)
    between = raters * targets.square().sum((-2, -1)) / (count - 1)
    rest = values - targets - values.mean(-2, keepdim=True)
    error = rest.square().sum((-2, -1)) / ((count - 1) * (raters - 1))
    whole = between + (raters - 1) * error
    # What rounding leaves of constant columns is no variation.
    if (whole <= 1e-12 * ratings.double().square().mean((-2, -1))).any():
        raise ValueError("'ratings' do not vary over targets, so agreement is not defined")
    return torch.div(between - error, whole).to(ratings.dtype)
