"""Tracking by counting beside linked peaks and a SORT-like tracker, on MOT15's people.

Density maps are rendered from the annotated heads, with noise, or from published detections.
All trackers see the same maps, and are scored against the annotated heads. ``tbc_plain`` is the
program without the reward for density. ``kept_merges`` is the share of encounters (two people
nearer than two sigma, who were apart before and are again behind) after which both have the
number that they had before. ``perfect_on_boxes`` are the published detections on a person, each
with that person's number: no tracker that follows detections can do better. HOTA, DetA, AssA and
LocA take a similarity of one half at the radius of a match.
"""

from __future__ import annotations

import time
from typing import Any

from benchmarks.problems.tracking import kept_merges, load, perfect
from benchmarks.rivals.tracking import Points, find_peaks, link_peaks, sort_like
from graphkit.metrics import clear_mot, hota
from graphkit.vision import TrackingByCounting

__all__ = ["MAIN", "load", "run"]

MAIN = "mota_tbc"


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
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
    options_tbc = {"sigma": scene.sigma, **(tracker or {})}
    metrics: dict[str, float] = {}
    arms: dict[str, Points] = {}
    # The plain arm leaves out the reward of density, the one term that is ours to justify.
    for arm, options in {
        "tbc": options_tbc,
        **({"tbc_plain": {**options_tbc, "lam_density": 0.0}} if plain else {}),
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
        figures = clear_mot(scene.truth, points, radius)
        higher = hota(scene.truth, points, radius)
        figures |= {name: higher[name] for name in ("hota", "deta", "assa", "loca")}
        metrics |= {f"{name}_{arm}": value for name, value in figures.items()}
        # People are merged when their blobs overlap, which two deviations of the density say.
        right, all_merges = kept_merges(scene.truth, points, 2 * scene.sigma, radius)
        metrics |= {f"kept_merges_{arm}": right, "merges": all_merges}
    for rival in ("peaks", "sort"):
        metrics[f"gain_over_{rival}"] = metrics["mota_tbc"] - metrics[f"mota_{rival}"]
    return metrics
