"""What the Jaccard distance of k-reciprocal neighbourhoods costs: seconds and memory.

    python -m benchmarks.studies.k_reciprocal --images 20000

Features are of 20 images of each identity around a centre, and then of no identity at all, where
neighbourhoods are least alike. Edges are those of the default call, of each image its nearest
ones; then all that are nearer than ``--reach``, 0.9 as in DensityClusters. Memory is the most that
the process held, less what it held before; the parts are run in processes of their own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from typing import Any

import torch

from graphkit.precision import normalize
from graphkit.vision import jaccard_edges


def features(images: int, channels: int, spread: float | None) -> torch.Tensor:
    """Unit vectors around centres, or anywhere."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(images, channels, generator=generator)
    if spread is None:
        return normalize(noise, dim=1)
    centres = normalize(torch.randn(max(images // 20, 1), channels, generator=generator), dim=1)
    return normalize(centres[torch.arange(images) % len(centres)] + spread * noise, dim=1)


def measure(images: int, channels: int, spread: float | None, options: dict[str, Any]) -> None:
    """Prints one line."""
    x = features(images, channels, spread)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    edges, _ = jaccard_edges(x, **options)
    seconds = time.perf_counter() - started
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kind = "of no identity" if spread is None else "of identities"
    print(
        f"{images} images {kind}, {options or 'defaults'}: {edges.size(1)} edges, {seconds:.1f} s, "
        f"{(held - before) / 1024:.0f} MiB above {before / 1024:.0f} MiB"
    )


def main() -> None:
    """Both kinds of features."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--reach", type=float, default=0.9, help="edges are nearer than this")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    reach = {"max_distance": options.reach, "max_neighbors": None}
    for spread in (0.05, None):
        for kinds in ({}, reach):
            part = context.Process(
                target=measure, args=(options.images, options.channels, spread, kinds)
            )
            part.start()
            part.join()


if __name__ == "__main__":
    main()
