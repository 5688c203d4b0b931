"""A training step of ``FactorConv`` beside graph attention and a loop over its factors.

``python -m benchmarks.speed.factor`` prints one line per measurement.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from graphkit import ops
from graphkit.nn import FactorConv


class Attention(nn.Module):
    """Graph attention of the same shape on graphkit's fused kernel."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.lin = nn.Linear(channels, channels)
        self.att = nn.Parameter(torch.randn(2, heads, channels // heads) / 8)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        h = self.lin(x).unflatten(-1, (self.heads, -1))
        source, target = ((h * att).sum(-1) for att in self.att)
        return ops.gat_attention(edge_index, h, source, target).flatten(1)


class Loop(nn.Module):
    """A ``FactorConv`` without gate biases, factor after factor with gathers and ``index_add``."""

    def __init__(self, conv: FactorConv) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        conv, (source, target) = self.conv, edge_index
        h = conv.project(x)
        degree = torch.bincount(target, minlength=x.size(0)).clamp(min=1).to(x.dtype).rsqrt()
        blocks = []
        for factor in range(conv.num_factors):
            left, right = h @ conv.att[factor], h @ conv.att[conv.num_factors + factor]
            score = left[source] + right[target]
            gate = (conv.slope * score).sigmoid() * degree[source] * degree[target]
            message = gate.unsqueeze(-1) * h[source]
            blocks.append(torch.zeros_like(h).index_add(0, target, message))
        return torch.cat(blocks, dim=-1)


def step(layer: nn.Module, x: Tensor, edge_index: Tensor) -> Callable[[], Any]:
    """Forward and backward, down to the gradient of the features."""
    weight = torch.randn(x.shape)

    def run() -> None:
        layer.zero_grad()
        (layer(x, edge_index) * weight).sum().backward()

    return run


def medians(steps: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median times of calls that take turns, so that all see the same noise."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for repeat in range(repeats + 2):
        for name, run in steps.items():
            started = time.perf_counter()
            run()
            if repeat >= 2:
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def rows(quick: bool = False) -> list[dict[str, Any]]:
    """Eight factors or heads, width 64: 20,000 nodes and 400,000 edges, or a tenth of it."""
    nodes, edges = (2_000, 40_000) if quick else (20_000, 400_000)
    torch.manual_seed(0)
    edge_index = torch.randint(nodes, (2, edges))
    x = torch.randn(nodes, 64, requires_grad=True)
    conv = FactorConv(64, 64, num_factors=8, gate_bias=False)
    layers: dict[str, nn.Module] = {
        "FactorConv": conv,
        "graphkit attention": Attention(64, 8),
        "loop": Loop(conv),
    }
    seconds_of = medians(
        {name: step(layer, x, edge_index) for name, layer in layers.items()}, 3 if quick else 9
    )
    size = f"{nodes:,} nodes, {edges:,} edges, width 64, 8 factors"
    return [
        {
            "name": "factor-conv-step",
            "what": name,
            "size": size,
            "seconds": seconds,
            "relative": seconds / seconds_of["FactorConv"],
        }
        for name, seconds in seconds_of.items()
    ]


if __name__ == "__main__":
    for row in rows():
        print(
            f"{row['what']}: {row['seconds'] * 1e3:.1f} ms, {row['relative']:.2f} ({row['size']})"
        )
