"""What a sample would have been in another domain, by the moments of both."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from graphkit.catalog import no_method
from graphkit.precision import wide
from graphkit.vision.group_moments import GroupMoments, grouped_product

__all__ = ["Intervention", "wasserstein_distances"]


@no_method("the intervention of DCCD, which has the card")
class Intervention(nn.Module):
    r"""Moves representations from their domain to another one, so that first and second moments
    are those of the other.

    .. math::
        z^* = \Sigma_{d^*}^{1/2} \Sigma_d^{-1/2} (z - \mu_d) + \mu_{d^*}

    with symmetric roots, which turn no axes. Eigenvalues below ``floor`` times the mean one are
    raised to it, in both roots, so that a covariance of low rank gives finite values, and so that
    a domain is always mapped to itself without change. With ``order=1`` it is the translation by
    :math:`\mu_{d^*} - \mu_d`. Moments are constants for gradients. Roots are computed when the
    moments have changed, in :math:`M C^3` for :math:`M` domains; a call costs :math:`M B C^2` for
    the largest domain :math:`B` of a batch.

    Args:
        moments (GroupMoments): Those of the domains.
        order (int, optional): 1 or 2. (default: :obj:`2`)
        shrink (float, optional): Share of the mean variance in every direction that is mixed into
            a covariance, for domains of few samples, in [0, 1]. (default: :obj:`0.0`)
        floor (float, optional): As said. (default: :obj:`1e-3`)
        every (int, optional): Calls with changed moments until roots are computed again, while
            training; in evaluation mode they are those of the moments, and none are kept.
            (default: :obj:`1`)

    Shapes:
        - **input:** representations :math:`(N, C)`, their domains and the others :math:`(N)`
        - **output:** :math:`(N, C)`

    Raises:
        ValueError: If an option is out of range, shapes do not fit, or a domain has not been seen.

    Example:
        >>> import torch
        >>> from graphkit.vision import GroupMoments, Intervention
        >>> z, d = torch.tensor([[0.0], [2.0], [7.0], [13.0]]), torch.tensor([0, 0, 1, 1])
        >>> moments = GroupMoments(2, 1)
        >>> moments.update(z, d)
        >>> Intervention(moments)(z, d, 1 - d).flatten()
        tensor([ 7., 13.,  0.,  2.])
    """

    root: Tensor
    inverse: Tensor
    known: Tensor
    covered: Tensor
    behind: Tensor

    def __init__(
        self,
        moments: GroupMoments,
        order: int = 2,
        shrink: float = 0.0,
        floor: float = 1e-3,
        every: int = 1,
    ) -> None:
        super().__init__()
        if order not in (1, 2):
            raise ValueError(f"'order' must be 1 or 2, got {order}")
        if not 0 <= shrink <= 1 or not 0 < floor <= 1 or every < 1:
            raise ValueError(
                "'shrink' must be in [0, 1], 'floor' in (0, 1] and 'every' at least 1, got "
                f"{shrink}, {floor} and {every}"
            )
        self.moments, self.order, self.shrink, self.floor = moments, order, shrink, floor
        self.every = every
        self.register_buffer("root", torch.zeros_like(moments.cov))
        self.register_buffer("inverse", torch.zeros_like(moments.cov))
        # Of how many samples of each domain and of which covariances the roots are, calls since
        # then, and by which options.
        self.register_buffer("known", torch.zeros_like(moments.count))
        self.register_buffer("covered", torch.zeros_like(moments.cov))
        self.register_buffer("behind", torch.zeros((), dtype=torch.long))
        self.options = shrink, floor
        self.register_load_state_dict_pre_hook(uncovered)

    def forward(self, z: Tensor, domain: Tensor, target: Tensor) -> Tensor:
        """The representations under intervention."""
        self.check(z, domain, target)
        mean = self.moments.mean
        centred = wide(z) - mean[domain]
        if self.order == 2:
            root, inverse = self.roots()
            # Roots are symmetric, so that rows are multiplied from the right.
            whitened = grouped_product(centred, inverse, domain)
            centred = grouped_product(whitened, root, target)
        return (centred + mean[target]).to(z.dtype)

    def draw(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Domains drawn evenly among those that were seen, whatever is to be moved to them."""
        seen = self.moments.count.nonzero().squeeze(1)
        if not len(seen):
            raise ValueError("no domain has been seen; update the moments first")
        device = seen.device if generator is None else generator.device
        place = torch.randint(len(seen), (count,), generator=generator, device=device)
        return seen[place.to(seen.device)]

    def roots(self) -> tuple[Tensor, Tensor]:
        """Roots and their inverses, made anew where the moments have changed for long enough."""
        count, cov = self.moments.count, self.moments.cov
        other = self.options != (self.shrink, self.floor)
        if not other and torch.equal(self.known, count) and torch.equal(self.covered, cov):
            return self.root, self.inverse
        if not self.training:
            return self.computed()
        self.behind += 1
        # Domains that were not there before cannot wait, nor can other options.
        if other or self.behind >= self.every or bool(((self.known == 0) & (count > 0)).any()):
            self.refresh()
        return self.root, self.inverse

    @torch.no_grad()
    def refresh(self) -> None:
        """Computes and keeps the roots of the covariances as they are now."""
        # New tensors: a backward pass that is still to come needs those of before.
        self.root, self.inverse = self.computed()
        self.known, self.covered = self.moments.count.clone(), self.moments.cov.clone()
        self.options = self.shrink, self.floor
        self.behind.zero_()

    @torch.no_grad()
    def computed(self) -> tuple[Tensor, Tensor]:
        """The roots of the covariances as they are now, and the inverses."""
        values, vectors = self.spectrum()
        root, inverse = (
            (vectors * values.pow(power).unsqueeze(1)) @ vectors.mT for power in (0.5, -0.5)
        )
        return root.to(self.root.dtype), inverse.to(self.inverse.dtype)

    @torch.no_grad()
    def spectrum(self) -> tuple[Tensor, Tensor]:
        """Eigenvalues ``[M, C]``, rising, shrunk and floored, and eigenvectors ``[M, C, C]``."""
        values, vectors = torch.linalg.eigh(self.moments.cov.double())
        values = values.clamp(min=0)
        mean = values.mean(1, keepdim=True)
        values = (1 - self.shrink) * values + self.shrink * mean
        # A domain without any variance has no scale of its own: it stays a point.
        least = (self.floor * mean).clamp(min=1e-12)  # wide
        return torch.maximum(values, least), vectors

    def check(self, z: Tensor, domain: Tensor, target: Tensor) -> None:
        """Refuses by name what does not fit."""
        domains, channels = self.moments.mean.shape
        if z.dim() != 2 or z.size(1) != channels or not z.is_floating_point():
            raise ValueError(f"'z' must hold floats [N, {channels}], got {z.dtype} {list(z.shape)}")
        for name, value in (("domain", domain), ("target", target)):
            if value.shape != z.shape[:1] or value.dtype != torch.long:
                raise ValueError(
                    f"'{name}' must be int64 of shape [{len(z)}], got {value.dtype} "
                    f"{list(value.shape)}"
                )
            if len(value) and not 0 <= int(value.min()) <= int(value.max()) < domains:
                raise ValueError(
                    f"'{name}' must be in 0 … {domains - 1}, got {int(value.min())} … "
                    f"{int(value.max())}"
                )
            unseen = value[self.moments.count[value] == 0].unique().tolist()
            if unseen:
                raise ValueError(
                    f"'{name}' has domains {unseen} of which no sample has been seen; update the "
                    "moments first"
                )


def uncovered(module: Intervention, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Takes a state of version 0.2.0, which does not say of which covariances its roots are."""
    state.setdefault(f"{prefix}covered", torch.zeros_like(module.covered))


def wasserstein_distances(mean: Tensor, cov: Tensor) -> Tensor:
    r"""Squared 2-Wasserstein distances of Gaussians.

    .. math::
        \lVert \mu - \mu' \rVert^2 + \mathrm{tr} \big( \Sigma + \Sigma' -
        2 (\Sigma^{1/2} \Sigma' \Sigma^{1/2})^{1/2} \big)

    Time grows with :math:`M^2 C^3`, memory with :math:`M^2 C^2`.

    Args:
        mean, cov (torch.Tensor): Moments.

    Shapes:
        - **input:** :math:`(M, C)` and :math:`(M, C, C)`
        - **output:** :math:`(M, M)`, symmetric

    Raises:
        ValueError: If shapes do not fit, or values are not finite.

    Example:
        >>> import torch
        >>> from graphkit.vision import wasserstein_distances
        >>> wasserstein_distances(torch.tensor([[0.0], [3.0]]), torch.tensor([[[1.0]], [[4.0]]]))
        tensor([[ 0., 10.],
                [10.,  0.]])
    """
    if mean.dim() != 2 or cov.shape != (*mean.shape, mean.size(1)):
        raise ValueError(
            f"'mean' must be [M, C] and 'cov' [M, C, C], got {list(mean.shape)} and "
            f"{list(cov.shape)}"
        )
    if not (mean.isfinite().all() and cov.isfinite().all()):
        raise ValueError("'mean' or 'cov' holds NaN or infinite values")
    spread = cov.double()
    values, vectors = torch.linalg.eigh(spread)
    root = (vectors * values.clamp(min=0).sqrt().unsqueeze(1)) @ vectors.mT
    inner = root.unsqueeze(1) @ spread.unsqueeze(0) @ root.unsqueeze(1)
    cross = torch.linalg.eigvalsh(inner).clamp(min=0).sqrt().sum(2)
    trace = spread.diagonal(dim1=1, dim2=2).sum(1)
    centre = (mean.double().unsqueeze(1) - mean.double()).square().sum(2)
    squared = centre + trace.unsqueeze(1) + trace - 2 * cross
    # Exactly symmetric, and zero on the diagonal, where rounding leaves a little.
    squared = ((squared + squared.t()) / 2).clamp(min=0).fill_diagonal_(0)
    return squared.to(wide(mean).dtype)
