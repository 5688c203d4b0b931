"""A staircase that a network learns by: soft steps in training, hard ones afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from graphkit.catalog import no_method

__all__ = ["StepQuantizer"]

SAMPLE = 50_000


class ClipGradient(torch.autograd.Function):
    """The identity; what flows back is cut off at a size."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, limit: float) -> Tensor:
        ctx.limit = limit
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad.clamp(-ctx.limit, ctx.limit), None


@no_method("the function that QuantizationNetwork puts on weights and activations")
class StepQuantizer(nn.Module):
    r"""The quantisation function of the `"Quantization Networks"
    <https://arxiv.org/abs/1911.09464>`_ paper, for weights (as a
    :mod:`torch.nn.utils.parametrize` parametrization) or activations (as a module).

    .. math::
        y = \alpha \left( v_0 + \sum_{i=1}^{n} (v_i - v_{i-1})\, \sigma\big(T (\beta x - b_i)\big)
        \right) \quad \text{in training}, \qquad
        y = \alpha\, v_{|\{i : \beta x > b_i\}|} \quad \text{in evaluation}

    Levels :math:`v` and thresholds :math:`b` are fixed, the scales :math:`\alpha, \beta` are
    learned, the temperature :math:`T` is a buffer, to be raised while training.  For positive
    scales the function never falls.  Hard steps pass no gradient to :math:`x`.  Time and the
    memory of the backward pass grow with the number of levels in training, with its logarithm
    in evaluation.

    Args:
        levels (sequence of float): :math:`v`, in ascending order, such as ``(-1, 0, 1)``.
        temperature (float, optional): :math:`T`. (default: :obj:`1.0`)
        clip (float, optional): Largest entry of the gradient with respect to :math:`y`.
            (default: :obj:`None`)
        variant (str, optional): ``"released"`` cuts off the arguments of sigmoids at
            :math:`\pm 10`, and the gradient of binary weights, two levels, is :math:`T` times
            that at :math:`T = 1`. (default: ``"paper"``)

    Shapes:
        - **input:** :math:`(*)`
        - **output:** :math:`(*)`

    Raises:
        ValueError: If levels are fewer than 2, more than 256, not finite or not in ascending
            order, or an option is out of range.
        TypeError: If the input is not floating point.

    Example:
        >>> import torch
        >>> from graphkit.compress import StepQuantizer
        >>> ternary = StepQuantizer((-1, 0, 1), temperature=2.0).fit(torch.tensor([-1.0, 0.1, 1.0]))
        >>> ternary.eval()(torch.tensor([-0.9, 0.1, 0.7])).detach()
        tensor([-0.8000,  0.0000,  0.8000])
    """

    levels: Tensor
    thresholds: Tensor
    temperature: Tensor

    def __init__(
        self,
        levels: Sequence[float],
        temperature: float = 1.0,
        clip: float | None = None,
        variant: Literal["paper", "released"] = "paper",
    ) -> None:
        super().__init__()
        values = torch.as_tensor(levels, dtype=torch.float)
        if values.dim() != 1 or not 2 <= len(values) <= 256:
            raise ValueError(f"'levels' must be 2 to 256 numbers, got {list(values.shape)}")
        if not values.isfinite().all() or not (values[1:] > values[:-1]).all():
            raise ValueError(f"'levels' must be finite and ascend, got {values.tolist()}")
        if not temperature > 0:
            raise ValueError(f"'temperature' must be above 0, got {temperature}")
        if clip is not None and not clip > 0:
            raise ValueError(f"'clip' must be above 0, got {clip}")
        if variant not in ("paper", "released"):
            raise ValueError(f"'variant' must be 'paper' or 'released', got {variant!r}")
        self.clip, self.variant = clip, variant
        self.register_buffer("levels", values)
        self.register_buffer("thresholds", (values[1:] + values[:-1]) / 2)
        self.register_buffer("temperature", torch.tensor(float(temperature)))
        self.alpha, self.beta = (nn.Parameter(torch.ones(())) for _ in range(2))

    @torch.no_grad()
    def fit(
        self, x: Tensor, thresholds: Literal["kmeans", "midpoints"] = "kmeans"
    ) -> StepQuantizer:
        r"""Sets scales and thresholds by some values.

        The largest value meets :math:`1.25 \max_i |v_i|`, as in the released code.

        Args:
            x (torch.Tensor): The values, such as a layer's weights.
            thresholds (str, optional): ``"kmeans"`` parts the values into as many clusters as
                levels; with fewer distinct values than levels, and with ``"midpoints"``, a
                value goes to the nearest level. (default: ``"kmeans"``)
        """
        if not x.isfinite().all():
            raise ValueError("'x' holds NaN or infinite values")
        if thresholds not in ("kmeans", "midpoints"):
            raise ValueError(f"'thresholds' must be 'kmeans' or 'midpoints', got {thresholds!r}")
        size = float(x.abs().max()) if x.numel() else 0.0
        # A layer of zeros has no scale; any will do, and 1 is finite.
        beta = 1.25 * float(self.levels.abs().max()) / size if size > 0 else 1.0
        self.beta.fill_(beta)
        self.alpha.fill_(1 / beta)
        middle = (self.levels[1:] + self.levels[:-1]) / 2
        if thresholds == "kmeans":
            middle = cluster_borders(beta * x.detach().flatten(), middle)
        self.thresholds.copy_(middle)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """The values on the staircase, soft in training mode and hard in evaluation mode."""
        if not x.is_floating_point():
            raise TypeError(f"'x' must be floating point, got {x.dtype}")
        if not self.training:
            # NaN lies above every threshold; it must not become the highest level.
            hard = self.levels.to(x.dtype)[self.codes(x)]
            return self.alpha * torch.where(x.isnan(), x, hard)
        out = self.soft(x, self.temperature)
        if self.variant == "released" and len(self.levels) == 2:
            smooth = self.soft(x, torch.ones_like(self.temperature)) * self.temperature
            out = smooth + (out - smooth).detach()
        return out if self.clip is None else ClipGradient.apply(out, self.clip)

    def soft(self, x: Tensor, temperature: Tensor) -> Tensor:
        """The staircase with rounded steps."""
        scaled, steps = self.beta * x, self.levels[1:] - self.levels[:-1]
        out = torch.zeros_like(x) + self.levels[0]
        for step, threshold in zip(steps.unbind(), self.thresholds.unbind(), strict=True):
            argument = temperature * (scaled - threshold)
            if self.variant == "released":
                argument = argument.clamp(-10, 10)
            out = out + step * torch.sigmoid(argument)
        return self.alpha * out

    def codes(self, x: Tensor) -> Tensor:
        """The number of each value's level, from 0, as int64."""
        return torch.bucketize((self.beta * x).detach(), self.thresholds.to(x.dtype))

    def extra_repr(self) -> str:
        """The levels, as ``print(module)`` shows them."""
        return f"{self.levels.tolist()}, clip={self.clip}, variant={self.variant!r}"


def cluster_borders(values: Tensor, otherwise: Tensor) -> Tensor:
    """Borders between as many clusters as there are levels; ``otherwise`` if that is too many."""
    from sklearn.cluster import KMeans

    count = len(otherwise) + 1
    ordered = values.double().sort().values
    if len(ordered) > SAMPLE:
        ordered = ordered[torch.linspace(0, len(ordered) - 1, SAMPLE, device=values.device).long()]
    if len(ordered.unique()) < count:
        return otherwise
    # Evenly spread first centres: the outcome depends on nothing but the values.
    places = torch.linspace(0, 1, count, dtype=torch.double, device=values.device)
    start = ordered[0] + places * (ordered[-1] - ordered[0])
    points = ordered.cpu().unsqueeze(1).numpy()
    clusters = KMeans(count, init=start.cpu().unsqueeze(1).numpy(), n_init=1).fit(points)
    centres = torch.from_numpy(clusters.cluster_centers_[:, 0]).sort().values
    return ((centres[1:] + centres[:-1]) / 2).to(otherwise)
