"""Attention and sums on a GPU beside PyG, ``torch.compile`` and the copy bandwidth."""

from __future__ import annotations

import copy as copying
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GCNConv

from benchmarks.speed.graphs import random_edges
from graphkit.nn import accelerate

HEADS, CHANNELS, DEGREE = 8, 8, 20
WIDTH = HEADS * CHANNELS
MOST_RIVAL_VALUES = 4 * 10**9
"""Messages that PyG may make: beyond, its tensors would not fit beside each other."""


def milliseconds(call: Callable[[], object], device: torch.device, repeats: int) -> list[float]:
    """Times of single calls, by events on a GPU."""
    times = []
    for _ in range(repeats):
        if device.type == "cuda":
            first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            first.record()
            call()
            last.record()
            torch.cuda.synchronize()
            times.append(first.elapsed_time(last))
        else:
            begin = time.perf_counter()
            call()
            times.append(1e3 * (time.perf_counter() - begin))
    return times


def copy_bandwidth(device: torch.device, megabytes: int) -> float:
    """Bytes read plus written per second by the best of several large copies."""
    source = torch.ones(megabytes << 18, device=device)
    target = torch.empty_like(source)
    best = min(milliseconds(lambda: target.copy_(source), device, 10)[1:])
    return 2e3 * source.nbytes / best


def step(layer: Callable[..., Tensor], x: Tensor, edges: Tensor, backward: bool) -> Callable:
    """Forward, or forward and backward to the features."""

    def run() -> None:
        if not backward:
            with torch.no_grad():
                layer(x, edges)
            return
        x.grad = None
        layer(x, edges).sum().backward()

    return run


def layers() -> dict[str, Callable[[], nn.Module]]:
    """PyG's layers; ours are their twins."""
    return {
        "attention": lambda: GATConv(WIDTH, CHANNELS, HEADS, add_self_loops=False),
        "weighted sum (GCN)": lambda: GCNConv(WIDTH, WIDTH, add_self_loops=False),
    }


def cases(interpret: bool) -> Iterator[tuple[str, int, torch.dtype, bool]]:
    """Small graphs first: what no time is left for is the largest."""
    for edges in (200,) if interpret else (10**5, 10**6, 10**7):
        for name in layers():
            for dtype in (torch.float32, torch.bfloat16):
                for backward in (False, True):
                    yield name, edges, dtype, backward


def compare(
    name: str, edges: int, dtype: torch.dtype, backward: bool, device: torch.device, copy: float
) -> dict[str, Any]:
    """One layer on one graph: ours, PyG's, and PyG's compiled."""
    torch.manual_seed(0)
    nodes, repeats = max(edges // DEGREE, 2), 3 if device.type == "cpu" else 20
    rival = layers()[name]().to(device, dtype)
    index = random_edges(nodes, edges).to(device)
    x = torch.randn(nodes, WIDTH, device=device, dtype=dtype, requires_grad=True)
    contenders: dict[str, Callable[..., Tensor]] = {"ours": accelerate(rival, copy=True).model}
    if edges * WIDTH * (3 if backward else 1) <= MOST_RIVAL_VALUES:
        contenders["PyG"] = rival
        # Compiling takes half a minute: once per kind of layer, where it matters.
        if device.type == "cuda" and edges == 10**6:
            contenders["PyG, compiled"] = torch.compile(copying.deepcopy(rival), dynamic=False)
    row: dict[str, Any] = {
        "what": name,
        "edges": edges,
        "dtype": str(dtype).removeprefix("torch."),
        "backward": backward,
    }
    for who, layer in contenders.items():
        run = step(layer, x, index, backward)
        milliseconds(run, device, 3)
        row[f"{who}, ms"] = statistics.median(milliseconds(run, device, repeats))
    if not backward:
        moved = edges * (WIDTH * dtype.itemsize + 8) + 2 * nodes * WIDTH * dtype.itemsize
        row["share_of_copy"] = 1e3 * moved / row["ours, ms"] / copy
    return row


def time_all(
    device: torch.device, interpret: bool, copy: float, left: Callable[[float], float]
) -> list[dict[str, Any]]:
    """One row per case; those that no time was left for are named."""
    rows: list[dict[str, Any]] = []
    for name, edges, dtype, backward in cases(interpret):
        if rows and left(1.0) < 0:
            rows.append({"what": name, "edges": edges, "skipped": "no time was left"})
            continue
        rows.append(compare(name, edges, dtype, backward, device, copy))
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return rows
