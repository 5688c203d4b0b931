"""Tracks as metrics take them: checked, in double precision, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = ["Tracks", "checked_tracks", "frames_of", "overlaps"]

LARGEST = 1e100
"""Beyond it the areas of boxes and the squares of distances would overflow."""


class Tracks(NamedTuple):
    """Objects, sorted by frame.

    Args:
        frame (numpy.ndarray): Frame of each object ``[N]``.
        identity (numpy.ndarray): Its identity ``[N]``, numbered from 0 without gaps.
        place (numpy.ndarray): Its position ``[N, 2]``, or its box ``[N, 4]``.
        identities (int): How many there are.
    """

    frame: np.ndarray
    identity: np.ndarray
    place: np.ndarray
    identities: int


def checked_tracks(
    truth: tuple[Tensor, Tensor, Tensor],
    found: tuple[Tensor, Tensor, Tensor],
    radius: float | None,
) -> tuple[Tracks, Tracks]:
    """Both sides, of one kind: points where there is a radius, boxes else.

    Raises:
        ValueError: If there is no true object, a frame or an identity is no whole number or
            negative, an identity occurs twice in a frame, places are not finite, boxes have
            negative sides, or shapes do not fit.
    """
    if radius is not None and not (radius > 0 and np.isfinite(radius)):
        raise ValueError(f"'radius' must be a finite distance above 0, got {radius}")
    width = 4 if radius is None else 2
    sides = checked(truth, "truth", width), checked(found, "found", width)
    if not len(sides[0].frame):
        raise ValueError("'truth' holds no object")
    return sides


def checked(tracks: tuple[Tensor, Tensor, Tensor], name: str, width: int) -> Tracks:
    """One side; messages call it by its name."""
    if len(tracks) != 3:
        raise ValueError(f"'{name}' must hold frames, identities and places, got {len(tracks)}")
    frame, identity, place = (wide(torch.as_tensor(part)) for part in tracks)
    place = place.astype(np.float64)
    if frame.ndim != 1 or identity.shape != frame.shape or place.shape != (len(frame), width):
        kind = "boxes [N, 4]" if width == 4 else "positions [N, 2]"
        hint = " (boxes need radius=None, points a radius)" if place.ndim == 2 else ""
        raise ValueError(
            f"'{name}' must hold frames [N], identities [N] and {kind}, got "
            f"{frame.shape}, {identity.shape} and {place.shape}{hint}"
        )
    for values, what in ((frame, "frames"), (identity, "identities")):
        wrong = ~(np.isfinite(values) & (values == np.floor(values)) & (values >= 0))
        if wrong.any():
            no_one = "; -1 stands for no identity" if what == "identities" else ""
            raise ValueError(
                f"'{name}' must have whole {what} of at least 0, got {values[wrong][0]}{no_one}"
            )
    # Written this way round, NaN is refused as well.
    if not (np.abs(place) <= LARGEST).all():
        raise ValueError(f"'{name}' has places that are NaN, infinite or beyond {LARGEST:.0e}")
    if width == 4 and (place[:, 2:] < 0).any():
        raise ValueError(f"'{name}' has boxes (left, top, width, height) with negative sides")
    order = np.lexsort((identity, frame))
    frame, identity, place = frame[order], identity[order], place[order]
    # In order, the same identity in the same frame stands side by side.
    twice = (frame[1:] == frame[:-1]) & (identity[1:] == identity[:-1])
    if twice.any():
        at = int(twice.nonzero()[0][0])
        one, when = int(identity[at]), int(frame[at])
        raise ValueError(f"'{name}' has identity {one} twice in frame {when}")
    names, number = np.unique(identity, return_inverse=True)
    return Tracks(frame, number, place, len(names))


def wide(part: Tensor) -> np.ndarray:
    """A part in a type that holds its numbers and their differences.

    Differences of small unsigned numbers would wrap; frames and identities beyond 2^53 would be
    taken for each other in double precision.
    """
    part = part.detach().cpu()
    return (part if part.dtype == torch.long else part.double()).numpy()


def frames_of(truth: Tracks, found: Tracks) -> Iterator[tuple[slice, slice]]:
    """The rows of either side in every frame that has any, in order."""
    frames = np.union1d(truth.frame, found.frame)
    ends = [
        (side.frame.searchsorted(frames), side.frame.searchsorted(frames, "right"))
        for side in (truth, found)
    ]
    for first, after, start, stop in zip(*ends[0], *ends[1], strict=True):
        yield slice(first, after), slice(start, stop)


def overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union ``[N, M]`` of boxes (left, top, width, height).

    Boxes without area overlap nothing.
    """
    first, second = boxes[:, None], others[None]
    ends = np.minimum(first[..., :2] + first[..., 2:], second[..., :2] + second[..., 2:])
    shared = np.maximum(ends - np.maximum(first[..., :2], second[..., :2]), 0).prod(2)
    union = first[..., 2:].prod(2) + second[..., 2:].prod(2) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
