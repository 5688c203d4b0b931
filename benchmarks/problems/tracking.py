"""People in videos as density maps, their true tracks, and what a tracker made of encounters."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.rivals.tracking import Points, match
from graphkit.datasets import MOTBoxes, mot15
from graphkit.vision import render_density

__all__ = ["Scene", "kept_merges", "load", "perfect"]


@dataclass
class Scene:
    """Maps of a sequence, the truth, and what was detected."""

    density: Tensor
    truth: Points
    people: MOTBoxes
    detections: MOTBoxes
    cell: float
    sigma: float


def load(
    name: str = "TUD-Campus",
    maps: str = "groundtruth",
    frames: int | None = None,
    cell: float = 12.0,
    sigma: float = 1.5,
    mass_noise: float = 0.2,
    pixel_noise: float = 0.002,
    seed: int = 0,
) -> Scene:
    """A sequence's density maps; ``maps`` says what they are rendered from."""
    people, detections = mot15(name), mot15(name, "detections")
    source = people if maps == "groundtruth" else mot15(name, maps)
    length = people.size[0] if frames is None else frames
    rows, cols = (-(-side // int(cell)) for side in people.size[1:])
    early = source.frame < length
    density = render_density(
        source.heads(cell)[early],
        source.frame[early],
        (length, rows, cols),
        sigma,
        mass_noise,
        pixel_noise,
        torch.Generator().manual_seed(seed),
    )
    early = people.frame < length
    truth = (people.frame[early], people.identity[early], people.heads(cell)[early])
    return Scene(density, truth, people, detections, cell, sigma)


def kept_merges(truth: Points, tracks: Points, near: float, radius: float) -> tuple[float, float]:
    """The share of encounters after which both people have their numbers, and how many there are.

    An encounter begins and ends with frames in which both are there and apart.
    """
    names = assigned(truth, tracks, radius)
    people = truth[1].unique().tolist()
    right = merges = 0
    for i, one in enumerate(people):
        for two in people[i + 1 :]:
            both = shared_frames(truth, one, two)
            apart = [(t, distance > near) for t, distance in both]
            before = None
            for place, (t, far) in enumerate(apart):
                if far and before is not None and place - before > 1:
                    merges += 1
                    start = apart[before][0]
                    pairs = [(names.get((who, start)), names.get((who, t))) for who in (one, two)]
                    right += all(a == b and a is not None for a, b in pairs)
                before = place if far else before
    return right / max(merges, 1), float(merges)


def shared_frames(truth: Points, one: int, two: int) -> list[tuple[int, float]]:
    """Frames in which two people are there, and how far apart they are."""
    frame, name, position = truth
    where = [
        dict(zip(frame[name == who].tolist(), position[name == who], strict=True))
        for who in (one, two)
    ]
    return [
        (t, float((where[0][t] - where[1][t]).norm()))
        for t in sorted(where[0].keys() & where[1].keys())
    ]


def perfect(truth: Points, frame: Tensor, heads: Tensor, radius: float) -> Points:
    """The detections that are on a person, with the right number."""
    boxes = assigned(truth, (frame, torch.arange(len(frame)), heads), radius)
    who, when = torch.tensor(list(boxes)).t()
    return when, who, heads[list(boxes.values())]


def assigned(truth: Points, tracked: Points, radius: float) -> dict[tuple[int, int], int]:
    """The number that a tracker gives to a person in a frame, where it found them."""
    names: dict[tuple[int, int], int] = {}
    for t in truth[0].unique().tolist():
        here, there = truth[0] == t, tracked[0] == t
        ours, theirs = match(truth[2][here].numpy(), tracked[2][there].numpy(), radius)
        people, tracks = truth[1][here].tolist(), tracked[1][there].tolist()
        names |= {(people[i], t): tracks[j] for i, j in zip(ours, theirs, strict=True)}
    return names
