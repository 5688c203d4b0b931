"""Masks with values in [0, 1] and their exact moments: what continuous dropout multiplies by."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

KINDS = ("uniform", "gaussian", "bernoulli")
OPTIONS = {"uniform": ("low", "high"), "gaussian": ("mean", "std", "clip"), "bernoulli": ("p",)}


@dataclass(frozen=True)
class MaskNoise:
    r"""A distribution of masks, and the scale that keeps their mean at one.

    Args:
        kind (str): ``"uniform"``, ``"gaussian"`` or ``"bernoulli"``.
        low, high (float, optional): The interval, of ``"uniform"`` alone.
            (default: :obj:`0` and :obj:`1`)
        mean, std (float, optional): Of the normal law before it is clipped, of ``"gaussian"``
            alone. (default: :obj:`0.5` and :obj:`0.25`)
        clip (bool, optional): Whether it is clipped to :math:`[0, 1]`. (default: :obj:`True`)
        p (float, optional): Probability of a zero, of ``"bernoulli"`` alone.
            (default: :obj:`0.5`)
        exact (bool, optional): Scales by the mean of the clipped law; else by :obj:`mean`.
            (default: :obj:`True`)

    Raises:
        ValueError: If an option is out of range.

    Example:
        >>> MaskNoise("bernoulli", p=0.5).relative_variance
        1.0
    """

    kind: str = "uniform"
    low: float = 0.0
    high: float = 1.0
    mean: float = 0.5
    std: float = 0.25
    clip: bool = True
    p: float = 0.5
    exact: bool = True

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"'noise' must be one of {list(KINDS)}, got {self.kind!r}")
        for name in OPTIONS[self.kind]:
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"'{name}' must be finite, got {getattr(self, name)}")
        if self.kind == "uniform" and not (0 <= self.low <= self.high <= 1 and self.high > 0):
            raise ValueError(f"0 <= low <= high <= 1 and high > 0, got {self.low} and {self.high}")
        if self.kind == "gaussian" and not (0 < self.mean <= 1 and self.std >= 0):
            raise ValueError(f"0 < mean <= 1 and std >= 0, got {self.mean} and {self.std}")
        if self.kind == "bernoulli" and not 0 <= self.p < 1:
            raise ValueError(f"'p' must be in [0, 1), got {self.p}")

    @property
    def moments(self) -> tuple[float, float]:
        r"""Mean and variance of a mask.

        The clipped normal law keeps its density inside :math:`[0, 1]` and has what lies outside
        as atoms at the ends: with :math:`a = -\mu/\sigma`, :math:`b = (1-\mu)/\sigma`

        .. math::
            \mathrm{E}\,m &= \mu (\Phi_b - \Phi_a) + \sigma (\varphi_a - \varphi_b) + 1 - \Phi_b

            \mathrm{E}\,m^2 &= (\mu^2 + \sigma^2) (\Phi_b - \Phi_a)
            + \sigma (\mu \varphi_a - (\mu + 1) \varphi_b) + 1 - \Phi_b
        """
        if self.kind == "uniform":
            return (self.low + self.high) / 2, (self.high - self.low) ** 2 / 12
        if self.kind == "bernoulli":
            return 1 - self.p, self.p * (1 - self.p)
        if not self.clip or self.std == 0:
            return self.mean, self.std**2
        low, high = -self.mean / self.std, (1 - self.mean) / self.std
        inside = _normal(high) - _normal(low)
        first = self.mean * inside + self.std * (_bell(low) - _bell(high)) + 1 - _normal(high)
        second = (self.mean**2 + self.std**2) * inside + 1 - _normal(high)
        second += self.std * (self.mean * _bell(low) - (self.mean + 1) * _bell(high))
        return first, second - first**2

    @property
    def relative_variance(self) -> float:
        r""":math:`\rho = \mathrm{Var}\,m / (\mathrm{E}\,m)^2`: how strong the noise is."""
        first, variance = self.moments
        return variance / first**2

    @property
    def scale(self) -> float:
        """What a mask is multiplied by, so that it is one on average."""
        biased = self.kind == "gaussian" and not self.exact
        return 1 / (self.mean if biased else self.moments[0])

    def draw(
        self, shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Scaled masks in the dtype and on the device of a tensor; drawn in 32 bits or more."""
        # Half-precision draws have too few values: a uniform law on them is not one.
        wide = torch.promote_types(like.dtype, torch.float32)
        mask = torch.empty(shape, dtype=wide, device=like.device)
        if self.kind == "gaussian":
            mask.normal_(self.mean, self.std, generator=generator)
            mask = mask.clamp(0, 1) if self.clip else mask
        elif self.kind == "uniform":
            mask.uniform_(self.low, self.high, generator=generator)
        else:
            mask = (mask.uniform_(generator=generator) >= self.p).to(wide)
        return (mask * self.scale).to(like.dtype)

    def __str__(self) -> str:
        options = ", ".join(f"{name}={getattr(self, name)}" for name in OPTIONS[self.kind])
        return f"{self.kind}, {options}"


def mask_noise(kind: str, exact: bool = True, **options: float | None) -> MaskNoise:
    """The noise of a kind with the options that were given, none of another kind.

    Raises:
        ValueError: If an option is unknown, out of range, or belongs to another kind.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name not in OPTIONS.get(kind, given):
            raise ValueError(f"'{name}' has no meaning for noise '{kind}'")
    return MaskNoise(kind, exact=exact, **given)  # type: ignore[arg-type]


def _normal(value: float) -> float:
    return (1 + math.erf(value / math.sqrt(2))) / 2


def _bell(value: float) -> float:
    return math.exp(-(value**2) / 2) / math.sqrt(2 * math.pi)
