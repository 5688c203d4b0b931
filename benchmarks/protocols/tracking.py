"""Tracking by counting beside linked peaks and a SORT-like tracker, on MOT15's people.

Density maps are rendered from the annotated heads, with noise, or from published detections.
All trackers see the same maps, and are scored against the annotated heads. ``tbc_plain`` is the
program without the reward for density. ``kept_merges`` is the share of encounters (two people
nearer than two sigma, who were apart before and are again behind) after which both have the
number that they had before. ``perfect_on_boxes`` are the published detections on a person, each
with that person's number: no tracker that follows detections can do better.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.harness.fitting import Fitter
from benchmarks.rivals.tracking import Points, find_peaks, link_peaks, match, sort_like
from graphkit.datasets import MOTBoxes, mot15
from graphkit.metrics import clear_mot
from graphkit.vision import TrackingByCounting, render_density

__all__ = ["MAIN", "Scene", "kept_merges", "load", "run"]

MAIN = "mota_tbc"


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


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    radius: float = 3.0,
    peak: float = 0.03,
    link: float = 2.0,
    plain: bool = True,
    tracker: dict[str, Any] | None = None,
) -> dict[str, float]:
    """One seed of the noise.

    ``radius`` is that of a match, ``peak`` the least density of a peak, ``link`` the longest
    link of the baselines, all in cells; ``plain`` also solves without the reward; ``tracker``
    are changes to :class:`~graphkit.vision.TrackingByCounting`.
    """
    scene = load(**{**dataset, "seed": seed})
    chosen = {"sigma": scene.sigma, **(tracker or {})}
    metrics: dict[str, float] = {}
    arms: dict[str, Points] = {}
    # The plain arm leaves out the reward of density, the one term that is ours to justify.
    for arm, options in {
        "tbc": chosen,
        **({"tbc_plain": {**chosen, "lam_density": 0.0}} if plain else {}),
    }.items():
        began = time.perf_counter()
        solution = TrackingByCounting(**options).solve(scene.density)
        metrics |= {
            f"seconds_{arm}": time.perf_counter() - began,
            f"solver_seconds_{arm}": solution.seconds,
            f"gap_{arm}": solution.gap,
            f"parts_{arm}": len(solution.parts),
            f"candidates_{arm}": len(solution.track),
        }
        arms[arm] = solution.points()
    spots = find_peaks(scene.density, peak)
    arms |= {"peaks": link_peaks(*spots, link), "sort": sort_like(*spots, link)}
    if dataset.get("maps") == "detections":
        heads = scene.detections.heads(scene.cell)
        arms["sort_on_boxes"] = sort_like(scene.detections.frame, heads, radius)
        arms["perfect_on_boxes"] = perfect(scene.truth, scene.detections.frame, heads, radius)
    for arm, points in arms.items():
        found = clear_mot(scene.truth, points, radius)
        metrics |= {f"{name}_{arm}": value for name, value in found.items()}
        # People are merged when their blobs overlap, which two deviations of the density say.
        kept, all_merges = kept_merges(scene.truth, points, 2 * scene.sigma, radius)
        metrics |= {f"kept_merges_{arm}": kept, "merges": all_merges}
    for rival in ("peaks", "sort"):
        metrics[f"gain_over_{rival}"] = metrics["mota_tbc"] - metrics[f"mota_{rival}"]
    return metrics


def kept_merges(truth: Points, found: Points, near: float, radius: float) -> tuple[float, float]:
    """The share of encounters after which both people have their numbers, and how many there are.

    An encounter begins and ends with frames in which both are there and apart.
    """
    names = assigned(truth, found, radius)
    people = truth[1].unique().tolist()
    kept = merges = 0
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
                    kept += all(a == b and a is not None for a, b in pairs)
                before = place if far else before
    return kept / max(merges, 1), float(merges)


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


def assigned(truth: Points, found: Points, radius: float) -> dict[tuple[int, int], int]:
    """The number that a tracker gives to a person in a frame, where it found them."""
    names: dict[tuple[int, int], int] = {}
    for t in truth[0].unique().tolist():
        here, there = truth[0] == t, found[0] == t
        ours, theirs = match(truth[2][here].numpy(), found[2][there].numpy(), radius)
        people, tracks = truth[1][here].tolist(), found[1][there].tolist()
        names |= {(people[i], t): tracks[j] for i, j in zip(ours, theirs, strict=True)}
    return names
