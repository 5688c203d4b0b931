"""Candidates, possible moves and counting windows of tracking by counting, as sparse arrays."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit.ops.dtypes import is_half, widened
from graphkit.vision.tracking.density import gaussian_rows

__all__ = ["TrackingProblem", "tracking_problem"]

NEGLIGIBLE = 1e-4


@dataclass(frozen=True)
class TrackingProblem:
    """What tracking by counting chooses from.

    Args:
        size (tuple of int): Frames, rows, columns of the density maps.
        ends (tuple of int): First and last frame, where births and deaths are free.
        frame (torch.Tensor): Frame of each candidate, ascending, ``[N]``.
        position (torch.Tensor): Row and column of each candidate, ``[N, 2]``.
        density (torch.Tensor): Density at each candidate, ``[N]``.
        patch (torch.Tensor): Density around each candidate, ``[N, P]``.
        move_index (torch.Tensor): Moves from a candidate to one of the next frame, ``[2, E]``.
        square (torch.Tensor): Squared length of each move, in cells, ``[E]``.
        window_count (torch.Tensor): Counted objects in each window, ``[W]``.
        window_frame (torch.Tensor): First frame of each window, ``[W]``.
        window_area (torch.Tensor): Cells of each window inside the image, ``[W]``.
        member_index (torch.Tensor): Candidates and the windows they count in, ``[2, M]``.
        member_weight (torch.Tensor): How much of an object at the candidate is counted, ``[M]``.
    """

    size: tuple[int, int, int]
    ends: tuple[int, int]
    frame: Tensor
    position: Tensor
    density: Tensor
    patch: Tensor
    move_index: Tensor
    square: Tensor
    window_count: Tensor
    window_frame: Tensor
    window_area: Tensor
    member_index: Tensor
    member_weight: Tensor


def tracking_problem(
    density: Tensor,
    window: tuple[int, int, int],
    stride: int,
    radius: float,
    threshold: float,
    sigma: float | None = None,
    patch: int = 5,
) -> TrackingProblem:
    """Reads candidates, moves and windows off density maps.

    Args:
        density (torch.Tensor): Density maps, ``[T, H, W]``.
        window (tuple of int): Frames, rows and columns of a counting window.
        stride (int): Cells from a window to the next one.
        radius (float): Longest move between two frames, in cells.
        threshold (float): Least density of a candidate.
        sigma (float, optional): Width of the Gaussian that an object adds; :obj:`None` counts
            an object wholly where its candidate lies. (default: :obj:`None`)
        patch (int, optional): Side of the remembered surroundings. (default: :obj:`5`)
    """
    if is_half(density):
        # Sixteen bits do not hold all columns of an image.
        density = widened(density)
    place = (density > threshold).nonzero()
    frame, row, col = place.unbind(1)
    surroundings = F.unfold(density.unsqueeze(1), patch, padding=patch // 2)
    patches = surroundings.transpose(1, 2)[frame, row * density.size(2) + col]
    moves = possible_moves(place, density.shape, radius)
    step = place[moves[1], 1:] - place[moves[0], 1:]
    counts, first, area = window_counts(density, window, stride)
    members, weight = memberships(place, density.shape, window, stride, sigma)
    # Most windows see no candidate; what they count is the same error for every choice.
    used, members_of = members[1].unique(return_inverse=True)
    return TrackingProblem(
        size=(density.size(0), density.size(1), density.size(2)),
        ends=(0, density.size(0) - 1),
        frame=frame,
        position=place[:, 1:].to(density.dtype),
        density=density[frame, row, col],
        patch=patches,
        move_index=moves,
        square=step.square().sum(1).to(density.dtype),
        window_count=counts[used],
        window_frame=first[used],
        window_area=area[used],
        member_index=torch.stack([members[0], members_of]),
        member_weight=weight,
    )


def possible_moves(place: Tensor, size: torch.Size, radius: float) -> Tensor:
    """Edges between candidates of successive frames within a radius.

    Goes through the offsets within the radius, each for all candidates at once: pairs further apart
    are never made.
    """
    reach = int(radius)
    number = place.new_full((size[0] + 1, size[1] + 2 * reach, size[2] + 2 * reach), -1)
    frame, row, col = place.unbind(1)
    source = torch.arange(len(place), device=place.device)
    # A border as wide as the longest move, and a frame behind the last, both empty: a shifted look
    # never leaves the table.
    number[frame, row + reach, col + reach] = source
    pairs = [place.new_empty(2, 0)]
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            if down**2 + right**2 <= radius**2:
                target = number[frame + 1, row + reach + down, col + reach + right]
                pairs.append(torch.stack([source, target])[:, target >= 0])
    moves = torch.cat(pairs, 1)
    # By source, then by target, as one number: the order must not depend on that of the offsets.
    return moves[:, (moves[0] * max(len(place), 1) + moves[1]).argsort()]


def starts(length: int, window: int, stride: int, device: torch.device) -> Tensor:
    """First cells of windows that cover each cell equally often; some begin outside."""
    return torch.arange(stride - window, length, stride, device=device)


def covers(length: int, window: int, stride: int, device: torch.device) -> Tensor:
    """Whether a cell lies in a window, ``[L, windows]``."""
    cell = torch.arange(length, device=device).unsqueeze(1)
    first = starts(length, window, stride, device)
    return (cell >= first) & (cell < first + window)


def window_counts(
    density: Tensor, window: tuple[int, int, int], stride: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Objects per frame in every window, the window's first frame, and its cells in the image."""
    frames, height, width = density.shape
    rows = covers(height, window[1], stride, density.device).to(density.dtype)
    cols = covers(width, window[2], stride, density.device).to(density.dtype)
    # Sums over rectangles, as two products of matrices: rows of cells, then columns.
    per_frame = torch.einsum("thw,hr,wc->trc", density, rows, cols)
    # A window of several frames counts their mean, which evens out noise of single maps.
    slab = min(window[0], frames)
    counts = per_frame.unfold(0, slab, 1).mean(-1)
    first = torch.arange(len(counts), device=density.device).view(-1, 1, 1).expand_as(counts)
    area = (rows.sum(0).unsqueeze(1) * cols.sum(0)).expand_as(counts)
    return counts.flatten(), first.flatten(), area.flatten()


def memberships(
    place: Tensor,
    size: torch.Size,
    window: tuple[int, int, int],
    stride: int,
    sigma: float | None,
) -> tuple[Tensor, Tensor]:
    """Edges from candidates to the windows that count them, and how much of them."""
    frames, height, width = size
    share = []
    for length, extent in ((height, window[1]), (width, window[2])):
        inside = covers(length, extent, stride, place.device).double()
        # An object's blob reaches into windows beside it, and part of it out of its own; of the
        # Gaussian, as of the window, each axis has its factor.
        if sigma is not None:
            cells = torch.arange(length, device=place.device, dtype=torch.double)
            inside = gaussian_rows(cells, length, sigma) @ inside
        share.append(inside)
    rows, cols = share[0][place[:, 1]], share[1][place[:, 2]]
    weight = rows.unsqueeze(2) * cols.unsqueeze(1)
    # Windows of one frame are numbered row by row, and frame behind frame, as window_counts gives
    # them.
    per_frame = weight[0].numel() if len(weight) else 0
    node, one, two = (weight > NEGLIGIBLE).nonzero().unbind(1)
    value, cell = weight[node, one, two], one * weight.size(2) + two
    slab = min(window[0], frames)
    # The windows of several frames that hold a candidate's frame begin up to slab - 1 before it.
    first = place[node, 0].unsqueeze(1) - torch.arange(slab, device=place.device)
    legal = (first >= 0) & (first <= frames - slab)
    index = torch.stack([node.unsqueeze(1).expand_as(first), first * per_frame + cell.unsqueeze(1)])
    return index[:, legal], (value / slab).unsqueeze(1).expand_as(first)[legal].float()
