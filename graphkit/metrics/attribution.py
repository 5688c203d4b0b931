"""How good a map of a classifier's evidence is: by what it does, and by where it points."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["deletion_area", "energy_in_region", "insertion_area", "pointing_game"]


def checked(x: Tensor, maps: Tensor) -> Tensor:
    """The maps as ``[B, H, W]``, if they fit the images."""
    flat = maps[:, 0] if maps.dim() == 4 and maps.size(1) == 1 else maps
    if x.dim() != 4 or flat.shape != (x.size(0), *x.shape[2:]):
        raise ValueError(
            f"'maps' must have shape [B, 1, H, W] or [B, H, W] for images {list(x.shape)}, "
            f"got {list(maps.shape)}"
        )
    if not bool(maps.isfinite().all()):
        raise ValueError("'maps' holds values that are not finite")
    return flat


@torch.no_grad()
def curve(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    maps: Tensor,
    target: Tensor,
    steps: int,
    baseline: float | Tensor,
    insert: bool,
) -> Tensor:
    """The target's probability while pixels come or go, the strongest first: ``[steps + 1, B]``."""
    maps = checked(x, maps).flatten(1)
    if target.shape != x.shape[:1]:
        raise ValueError(f"'target' must have shape [{x.size(0)}], got {list(target.shape)}")
    pixels = maps.size(1)
    if not 1 <= steps <= pixels:
        raise ValueError(f"'steps' must lie between 1 and {pixels}, got {steps}")
    place = maps.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    place = place.view(x.size(0), 1, *x.shape[2:])
    blank = torch.as_tensor(baseline).to(x).expand_as(x)
    probabilities = []
    for step in range(steps + 1):
        strongest = place < round(step * pixels / steps)
        shown = torch.where(strongest == insert, x, blank)
        probabilities.append(model(shown).softmax(1).gather(1, target[:, None])[:, 0])
    return torch.stack(probabilities)


def insertion_area(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    maps: Tensor,
    target: Tensor,
    steps: int = 24,
    baseline: float | Tensor = 0.0,
) -> Tensor:
    r"""Area under the curve of the target's probability while the strongest pixels are put into
    a blank image first, as in the `"RISE: Randomized Input Sampling for Explanation of Black-box
    Models" <https://arxiv.org/abs/1806.07421>`_ paper; larger is better.

    .. math::
        \frac{1}{S} \sum_{s=1}^{S} \frac{p_{s-1} + p_s}{2}

    Args:
        model (callable): A classifier in evaluation mode.
        x (torch.Tensor): Images.
        maps (torch.Tensor): Their maps.
        target (torch.Tensor): The class of each that the map explains.
        steps (int, optional): Steps from none to all pixels. (default: :obj:`24`)
        baseline (float or torch.Tensor, optional): The blank image. (default: :obj:`0.0`)

    Shapes:
        - **input:** images :math:`(B, C, H, W)`, maps :math:`(B, 1, H, W)`, classes :math:`(B)`
        - **output:** areas :math:`(B)` in [0, 1]

    Raises:
        ValueError: If shapes do not fit or ``steps`` is out of range.

    Example:
        >>> import torch
        >>> def model(x): return torch.stack([9 * x[:, 0, 0, 0], 0 * x[:, 0, 0, 0]], 1)
        >>> x, first = torch.ones(1, 1, 2, 2), torch.tensor([[[[4.0, 3.0], [2.0, 1.0]]]])
        >>> areas = [insertion_area(model, x, m, torch.tensor([0]), 4) for m in (first, -first)]
        >>> [round(area.item(), 2) for area in areas]
        [0.94, 0.56]
    """
    heights = curve(model, x, maps, target, steps, baseline, insert=True)
    return (heights[1:] + heights[:-1]).mean(0) / 2


def deletion_area(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    maps: Tensor,
    target: Tensor,
    steps: int = 24,
    baseline: float | Tensor = 0.0,
) -> Tensor:
    r"""As :func:`insertion_area`, while the strongest pixels are taken away first; smaller is
    better.

    Args:
        model (callable): As there.
        x (torch.Tensor): As there.
        maps (torch.Tensor): As there.
        target (torch.Tensor): As there.
        steps (int, optional): As there. (default: :obj:`24`)
        baseline (float or torch.Tensor, optional): As there. (default: :obj:`0.0`)

    Shapes:
        - **input:** images :math:`(B, C, H, W)`, maps :math:`(B, 1, H, W)`, classes :math:`(B)`
        - **output:** areas :math:`(B)` in [0, 1]

    Raises:
        ValueError: As there.
    """
    heights = curve(model, x, maps, target, steps, baseline, insert=False)
    return (heights[1:] + heights[:-1]).mean(0) / 2


def energy_in_region(maps: Tensor, region: Tensor) -> Tensor:
    r"""The share of a map, by size, that lies in the true region.

    .. math::
        \frac{\sum_{p \in R} |m_p|}{\sum_p |m_p|}

    Args:
        maps (torch.Tensor): Maps.
        region (torch.Tensor): Where the evidence truly is.

    Shapes:
        - **input:** maps :math:`(B, *)`, region, boolean, :math:`(B, *)`
        - **output:** shares :math:`(B)`; 0 for a map that is zero

    Raises:
        ValueError: If shapes differ or a map is not finite.

    Example:
        >>> import torch
        >>> energy_in_region(torch.tensor([[1.0, -3.0]]), torch.tensor([[False, True]]))
        tensor([0.7500])
    """
    same_shape(maps, region)
    size = maps.abs().flatten(1)
    total = size.sum(1)
    return (size * region.flatten(1)).sum(1) / torch.where(total > 0, total, 1.0)


def pointing_game(maps: Tensor, region: Tensor) -> Tensor:
    r"""Whether a map's largest value lies in the true region; ties count by their share.

    Args:
        maps (torch.Tensor): Maps.
        region (torch.Tensor): Where the evidence truly is.

    Shapes:
        - **input:** maps :math:`(B, *)`, region, boolean, :math:`(B, *)`
        - **output:** hits :math:`(B)`

    Raises:
        ValueError: If shapes differ or a map is not finite.

    Example:
        >>> import torch
        >>> pointing_game(torch.tensor([[1.0, 3.0]]), torch.tensor([[False, True]]))
        tensor([1.])
    """
    same_shape(maps, region)
    flat = maps.flatten(1)
    top = (flat == flat.amax(1, keepdim=True)).to(flat.dtype)
    return (top * region.flatten(1)).sum(1) / top.sum(1)


def same_shape(maps: Tensor, region: Tensor) -> None:
    """Refuses a region of another shape, and maps with NaN."""
    if maps.shape != region.shape:
        raise ValueError(
            f"'region' must have the maps' shape {list(maps.shape)}, got {list(region.shape)}"
        )
    if not bool(maps.isfinite().all()):
        raise ValueError("'maps' holds values that are not finite")
