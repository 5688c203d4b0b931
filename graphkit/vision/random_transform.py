"""Feature maps that are turned, scaled and shifted at random while a network trains."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.precision import wide

__all__ = ["RandomTransform2d", "transform2d"]

PADDINGS = ("zeros", "border", "reflection")


def transform2d(
    x: Tensor, transforms: Tensor, padding: str = "zeros", interpolation: str = "bilinear"
) -> Tensor:
    r"""Turns, scales and shifts each map about its centre.

    .. math::
        y(p) = x(T^{-1} p), \qquad T = R(\theta)\, S(s)\, D(d)

    The content is shifted by :math:`d` first, then scaled, then turned. Gradients reach the
    maps, not the transforms. Time and memory grow with the size of the maps.

    Args:
        x (torch.Tensor): Maps.
        transforms (torch.Tensor): Per map an angle in degrees, counterclockwise, a factor, and a
            shift to the right and one down, as shares of width and height.
        padding (str, optional): What lies outside: ``"zeros"``, ``"border"`` or
            ``"reflection"``. (default: ``"zeros"``)
        interpolation (str, optional): ``"bilinear"`` or ``"nearest"``.
            (default: ``"bilinear"``)

    Shapes:
        - **input:** :math:`(B, C, H, W)`, :math:`(B, 4)`
        - **output:** :math:`(B, C, H, W)`

    Raises:
        ValueError: If shapes or options do not fit, a transform is not finite, or a factor is
            not above 0.

    Example:
        >>> import torch
        >>> from graphkit.vision import transform2d
        >>> image = torch.tensor([[1.0, 2.0], [4.0, 3.0]])[None, None]
        >>> transform2d(image, torch.tensor([[90.0, 1.0, 0.0, 0.0]]))[0, 0].round()
        tensor([[2., 3.],
                [1., 4.]])
    """
    check_maps(x)
    if transforms.shape != (x.size(0), 4):
        raise ValueError(f"'transforms' must be [{x.size(0)}, 4], got {list(transforms.shape)}")
    if padding not in PADDINGS:
        raise ValueError(f"'padding' must be one of {list(PADDINGS)}, got {padding!r}")
    if interpolation not in ("bilinear", "nearest"):
        raise ValueError(f"'interpolation' is 'bilinear' or 'nearest', got {interpolation!r}")
    if not (transforms.isfinite().all() and (transforms[:, 1] > 0).all()):
        raise ValueError("'transforms' must be finite, with factors above 0 in column 1")
    return warp(x, transforms, padding, interpolation)


def warp(x: Tensor, transforms: Tensor, padding: str, interpolation: str) -> Tensor:
    """The maps, transformed; nothing is checked, so that it compiles in one graph."""
    if x.numel() == 0:
        return x.clone()
    maps = wide(x)
    # Sines in 64 bits: a quarter turn is then a permutation of cells to the last bit but one.
    angle, factor, right, down = transforms.detach().to(maps.device).double().unbind(1)
    cos, sin = angle.deg2rad().cos() / factor, angle.deg2rad().sin() / factor
    ratio = x.size(2) / x.size(3)
    # In units of half a side: rows and columns of a map that is not square have their own. Cells
    # are squares with the value at their centre, so a map of a single row has a height, too.
    inverse = torch.stack(
        [
            torch.stack([cos, -sin * ratio, -2 * right], 1),
            torch.stack([sin / ratio, cos, -2 * down], 1),
        ],
        1,
    )
    grid = F.affine_grid(inverse, [len(x), 1, *x.shape[2:]], align_corners=False)
    return F.grid_sample(maps, grid.to(maps.dtype), interpolation, padding, False).to(x.dtype)


def check_maps(x: Tensor) -> None:
    """Refuses what is no batch of floating-point maps."""
    if x.dim() != 4 or not x.is_floating_point():
        raise ValueError(f"'x' must hold floats [B, C, H, W], got {x.dtype} {list(x.shape)}")


@method(
    paper="arXiv:1912.01447",
    title="Transform-Invariant Convolutional Neural Networks for Image Classification and Search",
    authors="Xu Shen, Xinmei Tian, Anfeng He, Shaoyan Sun, Dacheng Tao",
    venue="ACM Multimedia 2016",
    year=2016,
    code="https://github.com/jasonustc/caffe-multigpu",
    licence="BSD-2-Clause",
    takes="feature maps",
    gives="the same maps, turned, scaled and shifted at random while training",
    deviations=[
        "each image has a transform of its own; the released layer draws one for the whole batch "
        "(per_sample=False)",
        "angle, factor and shift are drawn together; the released layer can switch each on or "
        "off by a coin (alternate=True)",
        "Gaussian laws and their limits are those of the released layer, not stated in the paper; "
        "its 'total_random', noise on the entries of the matrix, is left out",
        "padding by the border is right along rows and columns; the released layer clamps rows "
        "twice and never columns",
    ],
    verified_by="benchmarks/recipes/ticnn-digits.yaml",
)
class RandomTransform2d(nn.Module):
    r"""The layer of the `"Transform-Invariant Convolutional Neural Networks for Image
    Classification and Search" <https://arxiv.org/abs/1912.01447>`_ paper: feature maps are
    turned, scaled and shifted at random while training, so that the layers behind it come to
    accept all of these; in evaluation it is the identity.

    .. math::
        y(p) = x(T^{-1} p), \qquad T = R(\theta)\, S(s)\, D(d), \qquad
        \theta \sim \mathcal{U}(\theta_0, \theta_1),\;
        s \sim \mathcal{U}(s_0, s_1),\; d \sim \mathcal{U}(-d_0, d_0)

    or, with ``law="gaussian"``, :math:`\theta \sim \mathcal{N}(0, a^2)`,
    :math:`s \sim \mathcal{N}(1, b^2)` clipped to :math:`[0.1, 10]` and
    :math:`d \sim \mathcal{N}(0, d_0^2)` clipped to 0.9 of a side. It has no parameters and no
    loss. Put it behind an early convolution, after its batch norm: statistics of maps with empty
    borders are not those of evaluation. A map of one cell has nothing to
    turn. Plain augmentation of the images does at least as well where it is possible: see the
    recipe ``ticnn-digits``.
    Time and memory are those of one :func:`torch.nn.functional.grid_sample`.

    Args:
        angle (float or tuple, optional): Interval of angles in degrees; a number :math:`a` is
            :math:`(-a, a)`, and the deviation of the Gaussian law. (default: :obj:`40.0`)
        scale (float or tuple, optional): Interval of factors; a number :math:`b` is
            :math:`(1 - b, 1 + b)`, and the deviation of the Gaussian law. (default: :obj:`0.2`)
        shift (float or tuple, optional): The largest shift, or the Gaussian law's deviation,
            along width and height, as shares of them; a number is both. (default: :obj:`0.1`)
        p (float, optional): Probability that an image is transformed at all.
            (default: :obj:`0.5`)
        alternate (bool, optional): Whether angle, factor and shift are each left out with
            probability 1/2. (default: :obj:`False`)
        per_sample (bool, optional): Whether each image has its own transform; else the batch has
            one. (default: :obj:`True`)
        padding (str, optional): What lies outside a map: ``"zeros"``, ``"border"`` or
            ``"reflection"``. (default: ``"zeros"``)
        interpolation (str, optional): ``"bilinear"`` or ``"nearest"``.
            (default: ``"bilinear"``)
        law (str, optional): ``"uniform"`` or ``"gaussian"``. (default: ``"uniform"``)
        generator (torch.Generator, optional): Draws the transforms. (default: PyTorch's own)

    Shapes:
        - **input:** :math:`(B, C, H, W)`
        - **output:** :math:`(B, C, H, W)`; with ``return_transforms`` also what was done to each
          map, :math:`(B, 4)`, as :func:`transform2d` takes it

    Raises:
        ValueError: If an option is out of range, or the input holds no maps of floats.

    Example:
        >>> import torch
        >>> from graphkit.vision import RandomTransform2d
        >>> layer = RandomTransform2d(angle=40, p=1.0)
        >>> layer(torch.rand(8, 16, 12, 12)).shape
        torch.Size([8, 16, 12, 12])
        >>> layer.eval()(torch.ones(1, 1, 1, 2))
        tensor([[[[1., 1.]]]])
    """

    def __init__(
        self,
        angle: float | tuple[float, float] = 40.0,
        scale: float | tuple[float, float] = 0.2,
        shift: float | tuple[float, float] = 0.1,
        p: float = 0.5,
        alternate: bool = False,
        per_sample: bool = True,
        padding: Literal["zeros", "border", "reflection"] = "zeros",
        interpolation: Literal["bilinear", "nearest"] = "bilinear",
        law: Literal["uniform", "gaussian"] = "uniform",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if padding not in PADDINGS:
            raise ValueError(f"'padding' must be one of {list(PADDINGS)}, got {padding!r}")
        if interpolation not in ("bilinear", "nearest"):
            raise ValueError(f"'interpolation' is 'bilinear' or 'nearest', got {interpolation!r}")
        if law not in ("uniform", "gaussian"):
            raise ValueError(f"'law' must be 'uniform' or 'gaussian', got {law!r}")
        if not 0 <= p <= 1:
            raise ValueError(f"'p' must be in [0, 1], got {p}")
        self.angle = interval("angle", angle, 0.0, law)
        self.scale = interval("scale", scale, 1.0, law)
        self.shift = shift if isinstance(shift, tuple) else (shift, shift)
        if law == "uniform" and not 0 < self.scale[0] < float("inf"):
            raise ValueError(f"'scale' must lead to factors above 0, got {scale}")
        if len(self.shift) != 2 or not all(0 <= part < float("inf") for part in self.shift):
            raise ValueError(f"'shift' must be one or two numbers, not negative, got {shift}")
        self.p, self.alternate, self.per_sample = p, alternate, per_sample
        self.padding, self.interpolation, self.law = padding, interpolation, law
        self.generator = generator

    def draw(self, count: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
        """Transforms of so many images ``[B, 4]``, and which of them change anything ``[B]``."""
        rows = count if self.per_sample else min(count, 1)
        low, high = self.angle[0], self.scale[0]
        middle = torch.tensor([0.0, 1.0, 0.0, 0.0], device=device)
        if self.law == "uniform":
            noise = self.uniform(rows, 4, device)
            start = noise.new_tensor([low, high, -self.shift[0], -self.shift[1]])
            end = noise.new_tensor([self.angle[1], self.scale[1], *self.shift])
            drawn = start + (end - start) * noise
        else:
            noise = torch.empty(rows, 4, device=device).normal_(generator=self.generator)
            drawn = middle + noise * noise.new_tensor([self.angle[1], self.scale[1], *self.shift])
            least = noise.new_tensor([-180.0, 0.1, -0.9, -0.9])
            drawn = drawn.clamp(least, noise.new_tensor([180.0, 10.0, 0.9, 0.9]))
        if self.alternate:
            # One coin for both directions of a shift.
            coins = (self.uniform(rows, 3, device) < 0.5)[:, [0, 1, 2, 2]]
            drawn = torch.where(coins, drawn, middle)
        moved = self.uniform(rows, 1, device) < self.p
        drawn = torch.where(moved, drawn, middle).expand(count, 4)
        return drawn, (drawn != middle).any(1)

    def uniform(self, rows: int, columns: int, device: torch.device | None) -> Tensor:
        """Numbers in [0, 1)."""
        return torch.empty(rows, columns, device=device).uniform_(generator=self.generator)

    def forward(self, x: Tensor, return_transforms: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """The maps, transformed while training."""
        check_maps(x)
        if not self.training:
            neutral = x.new_tensor([0.0, 1.0, 0.0, 0.0], dtype=torch.float32)
            return (x, neutral.expand(len(x), 4)) if return_transforms else x
        transforms, moved = self.draw(len(x), x.device)
        warped = warp(x, transforms, self.padding, self.interpolation)
        # Maps that are not transformed pass bit by bit, not through an interpolation.
        out = torch.where(moved.view(-1, 1, 1, 1), warped, x)
        return (out, transforms) if return_transforms else out

    def extra_repr(self) -> str:
        """The options."""
        return f"angle={self.angle}, scale={self.scale}, shift={self.shift}, p={self.p}"


def interval(name: str, given: Any, middle: float, law: str) -> tuple[float, float]:
    """The interval that an option speaks of; of a Gaussian law the end is the deviation."""
    if isinstance(given, tuple):
        if law == "gaussian":
            raise ValueError(f"'{name}' is the deviation of a Gaussian law, a number, got {given}")
        if len(given) != 2 or not -float("inf") < given[0] <= given[1] < float("inf"):
            raise ValueError(f"'{name}' must be (low, high), low <= high, got {given}")
        return given
    if not 0 <= given < float("inf"):
        raise ValueError(f"'{name}' must not be negative, got {given}")
    return (0.0, given) if law == "gaussian" else (middle - given, middle + given)
