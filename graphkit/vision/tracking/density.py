"""Density maps: images whose sum over a region is the number of objects in it."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["gaussian_rows", "render_density"]


def gaussian_rows(place: Tensor, length: int, sigma: float) -> Tensor:
    r"""Gaussians of unit mass inside a row of cells, one per place.

    .. math::
        g_{i}(c) = e^{-(c - p_i)^2 / 2 \sigma^2} \Big/
        \sum_{c'=0}^{L-1} e^{-(c' - p_i)^2 / 2 \sigma^2}

    Args:
        place (torch.Tensor): Centres, in cells.
        length (int): Number of cells :math:`L`.
        sigma (float): Standard deviation, in cells.

    Shapes:
        - **input:** :math:`(N)`
        - **output:** :math:`(N, L)`

    Example:
        >>> import torch
        >>> gaussian_rows(torch.tensor([0.0, 2.0]), 5, 1.0).sum(1)
        tensor([1., 1.])
    """
    if sigma <= 0:
        raise ValueError(f"'sigma' must be positive, got {sigma}")
    cell = torch.arange(length, device=place.device, dtype=place.dtype)
    score = -((cell - place.unsqueeze(1)) ** 2) / (2 * sigma**2)
    return score.softmax(1)


def render_density(
    points: Tensor,
    frame: Tensor,
    size: tuple[int, int, int],
    sigma: float = 1.5,
    mass_noise: float = 0.0,
    pixel_noise: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Density maps of points: one Gaussian of mass 1 each, all of it inside the image.

    .. math::
        D_t = \max\Big(0,\; \sum_{i: t_i = t} m_i\, g_i g_i^{\top} + \eta\Big), \quad
        m_i \sim \mathcal{U}[1 - a, 1 + a], \quad \eta \sim \mathcal{N}(0, b^2)

    Time and memory grow with the number of points times the sides of the image.

    Args:
        points (torch.Tensor): Row and column of each point, in cells.
        frame (torch.Tensor): The frame of each point.
        size (tuple of int): Frames, rows, columns.
        sigma (float, optional): Standard deviation of a Gaussian, in cells.
            (default: :obj:`1.5`)
        mass_noise (float, optional): :math:`a`. (default: :obj:`0.0`)
        pixel_noise (float, optional): :math:`b`. (default: :obj:`0.0`)
        generator (torch.Generator, optional): For both kinds of noise. (default: :obj:`None`)

    Shapes:
        - **input:** points :math:`(N, 2)` in cells, frames :math:`(N)`
        - **output:** :math:`(T, H, W)`, objects per cell

    Raises:
        ValueError: If shapes do not fit, or a frame is not there.

    Example:
        >>> import torch
        >>> points, frame = torch.tensor([[2.0, 3.0], [4.0, 4.0]]), torch.tensor([0, 1])
        >>> render_density(points, frame, (3, 8, 9)).sum((1, 2))
        tensor([1.0000, 1.0000, 0.0000])
    """
    if points.dim() != 2 or points.size(1) != 2 or len(frame) != len(points):
        raise ValueError(
            f"'points' must have shape [N, 2] and 'frame' [N], got {list(points.shape)} and "
            f"{list(frame.shape)}"
        )
    frames, height, width = size
    if len(frame) and not 0 <= int(frame.min()) <= int(frame.max()) < frames:
        raise ValueError(f"'frame' must be in 0 … {frames - 1}, got {frame.tolist()}")
    spread = torch.rand(len(points), generator=generator, device=points.device)
    mass = (1 + mass_noise * (2 * spread - 1)).to(points.dtype)
    rows = gaussian_rows(points[:, 0], height, sigma) * mass.unsqueeze(1)
    cols = gaussian_rows(points[:, 1], width, sigma)
    maps = points.new_zeros(size)
    maps.index_add_(0, frame, rows.unsqueeze(2) * cols.unsqueeze(1))
    if pixel_noise:
        noise = torch.randn(size, generator=generator, device=points.device, dtype=points.dtype)
        maps = (maps + pixel_noise * noise).clamp(min=0)
    return maps
