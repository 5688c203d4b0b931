"""What tracking by counting is compared with: linked peaks, and a SORT-like tracker."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

__all__ = ["find_peaks", "link_peaks", "sort_like"]

Points = tuple[Tensor, Tensor, Tensor]


def find_peaks(density: Tensor, least: float, apart: int = 3) -> tuple[Tensor, Tensor]:
    """Frame and position of the local maxima of density maps.

    Args:
        density (torch.Tensor): Density maps, ``[T, H, W]``.
        least (float): Smaller maxima are left out.
        apart (int, optional): Side of the neighbourhood a maximum rules. (default: :obj:`3`)
    """
    from scipy.ndimage import maximum_filter

    maps = density.numpy()
    frame, row, col = np.nonzero((maps == maximum_filter(maps, (1, apart, apart))) & (maps > least))
    return torch.from_numpy(frame), torch.from_numpy(np.stack([row, col], 1)).float()


def link_peaks(frame: Tensor, position: Tensor, radius: float) -> Points:
    """Links points of successive frames at the least total distance; a gap ends a track.

    Args:
        frame (torch.Tensor): Frame of each point, ascending.
        position (torch.Tensor): Row and column.
        radius (float): Longest link.
    """
    track, free = np.full(len(frame), -1), 0
    spots, when = position.double().numpy(), frame.numpy()
    before = np.empty(0, dtype=int)
    for t in range(int(when.max(initial=-1)) + 1):
        now = np.nonzero(when == t)[0]
        ours, theirs = match(spots[before], spots[now], radius)
        track[now[theirs]] = track[before[ours]]
        new = now[track[now] < 0]
        track[new], free = free + np.arange(len(new)), free + len(new)
        before = now
    return frame, torch.from_numpy(track), position


@dataclass
class Walker:
    """One object of the SORT-like tracker: a Kalman filter with constant velocity."""

    number: int
    state: np.ndarray
    spread: np.ndarray
    missed: int = 0
    seen: list[tuple[int, np.ndarray]] = field(default_factory=list)


def sort_like(
    frame: Tensor,
    position: Tensor,
    radius: float,
    max_age: int = 3,
    min_hits: int = 2,
    accelerates: float = 0.3,
    errs: float = 0.7,
) -> Points:
    """A tracker like SORT for points: Kalman filter, assignment by distance to the forecast.

    As in SORT an object is reported where it was measured, and only from its
    ``min_hits``-th measurement on, except in the first frames.

    Args:
        frame (torch.Tensor): Frame of each point, ascending.
        position (torch.Tensor): Row and column.
        radius (float): Largest distance to the forecast.
        max_age (int, optional): Frames without a measurement that end a track.
            (default: :obj:`3`)
        min_hits (int, optional): Measurements before a track is reported. (default: :obj:`2`)
        accelerates (float, optional): Deviation of the velocity's change per frame, in cells.
            (default: :obj:`0.3`)
        errs (float, optional): Deviation of a measurement, in cells. (default: :obj:`0.7`)
    """
    # State: row, column and their velocities, so that a step adds velocity to place.
    step = np.eye(4) + np.eye(4, k=2)
    noise = np.diag([0.25, 0.25, 1.0, 1.0]) * accelerates**2
    alive: list[Walker] = []
    done: list[Walker] = []
    spots, when = position.double().numpy(), frame.numpy()
    for t in range(int(when.max(initial=-1)) + 1):
        for one in alive:
            one.state, one.spread = step @ one.state, step @ one.spread @ step.T + noise
        measured = spots[when == t]
        forecast = np.array([one.state[:2] for one in alive]).reshape(-1, 2)
        ours, theirs = match(forecast, measured, radius)
        for i, j in zip(ours, theirs, strict=True):
            correct(alive[i], measured[j], errs)
            alive[i].missed = 0
            alive[i].seen.append((t, measured[j]))
        # Tracks without a measurement go on by their forecast until they are too old.
        for i in set(range(len(alive))) - set(ours):
            alive[i].missed += 1
        for j in sorted(set(range(len(measured))) - set(theirs)):
            state = np.concatenate([measured[j], np.zeros(2)])
            spread = np.diag([errs**2, errs**2, 1.0, 1.0])
            new = Walker(len(alive) + len(done), state, spread)
            new.seen.append((t, measured[j]))
            alive.append(new)
        done += [one for one in alive if one.missed > max_age]
        alive = [one for one in alive if one.missed <= max_age]
    rows = [
        (t, one.number, *place)
        for one in (*done, *alive)
        for hits, (t, place) in enumerate(one.seen, 1)
        if hits >= min_hits or t < min_hits
    ]
    table = torch.tensor(rows, dtype=torch.double).reshape(-1, 4)
    return table[:, 0].long(), table[:, 1].long(), table[:, 2:].float()


def correct(one: Walker, measured: np.ndarray, errs: float) -> None:
    """The Kalman filter's update."""
    look = np.eye(2, 4)
    gain = one.spread @ look.T @ np.linalg.inv(look @ one.spread @ look.T + errs**2 * np.eye(2))
    one.state = one.state + gain @ (measured - look @ one.state)
    one.spread = (np.eye(4) - gain @ look) @ one.spread


def match(first: np.ndarray, second: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs at the least total distance, none longer than the radius."""
    from scipy.optimize import linear_sum_assignment

    apart = np.linalg.norm(first[:, None] - second, axis=2)
    ours, theirs = linear_sum_assignment(np.where(apart <= radius, apart, 1e6))
    near = apart[ours, theirs] <= radius
    return ours[near], theirs[near]
