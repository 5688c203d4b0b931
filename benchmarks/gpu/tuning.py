"""Sizes of tiles, tried one after another on the graph that most people's resemble."""

from __future__ import annotations

import itertools
import statistics
import time
from typing import Any

import torch

from benchmarks.gpu.timing import milliseconds
from benchmarks.speed.graphs import random_edges
from graphkit import ops

ENTRIES, WARPS = (4, 8, 16, 32), (1, 2, 4, 8)
SHAPES = ((8, 8), (1, 64), (4, 32))


def candidates(interpret: bool) -> list[dict[str, int]]:
    """Entries per step and warps per program."""
    entries, warps = ((4, 32), (4,)) if interpret else (ENTRIES, WARPS)
    return [
        {"BLOCK_E": count, "num_warps": warp} for count, warp in itertools.product(entries, warps)
    ]


def tune(device: torch.device, interpret: bool, seconds: float) -> list[dict[str, Any]]:
    """The fastest tile of each shape, which serves from here on; and how long each took."""
    from graphkit.ops.cuda import tiles

    begin, rows = time.perf_counter(), []
    nodes, edges = (20, 200) if interpret else (50_000, 1_000_000)
    index = random_edges(nodes, edges).to(device)
    for heads, width in SHAPES[:1] if interpret else SHAPES:
        x = torch.randn(nodes, heads, width, device=device)
        score = torch.randn(nodes, heads, device=device)

        def run(x: torch.Tensor = x, score: torch.Tensor = score) -> None:
            with torch.no_grad(), ops.backend("triton"):
                ops.gat_attention(index, x, score, score)

        tiles.TUNED.pop((heads, width), None)
        tried: list[dict[str, Any]] = []
        for tile in [{}, *candidates(interpret)]:
            if tried and time.perf_counter() - begin > seconds:
                break
            tiles.TUNED[heads, width] = tile
            milliseconds(run, device, 2)
            tried.append(tile | {"ms": statistics.median(milliseconds(run, device, 5))})
        best = min(tried, key=lambda tile: tile["ms"])
        tiles.TUNED[heads, width] = {key: value for key, value in best.items() if key != "ms"}
        rows.append({"heads": heads, "width": width, "best": best, "tried": tried})
    return rows
