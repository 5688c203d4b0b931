"""The local structure loss against the direct form with a tensor of edges times channels.

python -m benchmarks.speed.distill            10^6 edges, 256 channels: 4 GB, a minute
python -m benchmarks.speed.distill --quick
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch_geometric.utils import softmax

from benchmarks.harness.environment import peak_memory_mb, reset_peak_memory
from graphkit.distill import LocalStructureLoss

KERNELS = ("rbf", "linear", "laplacian")


def direct_similarity(x: Tensor, edge_index: Tensor, kernel: str, bandwidth: float) -> Tensor:
    """The formulas as they are usually typed in."""
    source, target = x[edge_index[0]], x[edge_index[1]]
    if kernel == "linear":
        return (source * target).sum(dim=-1)
    if kernel == "laplacian":
        return torch.exp(-(source - target).abs().sum(dim=-1) / bandwidth)
    return torch.exp(-(source - target).square().sum(dim=-1) / (2 * bandwidth**2))


def direct_loss(
    student: Tensor, teacher: Tensor, edge_index: Tensor, kernel: str, bandwidth: float
) -> Tensor:
    """The loss from PyG's softmax of both similarities."""
    with torch.no_grad():
        theirs = direct_similarity(teacher, edge_index, kernel, bandwidth)
        theirs = softmax(theirs, edge_index[1], num_nodes=len(teacher))
    ours = direct_similarity(student, edge_index, kernel, bandwidth)
    ours = softmax(ours, edge_index[1], num_nodes=len(student))
    return (ours * (ours.log() - theirs.log())).sum() / len(student)


def measure(call: Callable[[], Tensor], leaf: Tensor, runs: int) -> dict[str, Any]:
    """Median seconds of forward and backward, extra memory, value and gradient."""
    times = []
    gc.collect()
    reset_peak_memory()
    before = peak_memory_mb()
    for _ in range(runs):
        leaf.grad = None
        started = time.perf_counter()
        value = call()
        value.backward()
        times.append(time.perf_counter() - started)
    assert leaf.grad is not None
    return {
        "seconds": statistics.median(times),
        "mb": peak_memory_mb() - before,
        "value": float(value.detach()),
        "grad": leaf.grad.clone(),
    }


def compare(kernel: str, num_edges: int, channels: int, runs: int) -> dict[str, Any]:
    """One kernel: both forms on the same graph and features, in the same process."""
    torch.manual_seed(0)
    num_nodes = max(num_edges // 25, 2)
    edge_index = torch.randint(num_nodes, (2, num_edges))
    student, teacher = torch.randn(2, num_nodes, channels).mul(channels**-0.5).unbind()
    student.requires_grad_()
    width = channels**0.5 if kernel == "laplacian" else 1.0
    loss = LocalStructureLoss(kernel, bandwidth=width)

    def fresh() -> Tensor:
        # Without this the teacher's half would be remembered from the call before.
        loss.memo.forget()
        return loss(student, teacher, edge_index)

    fresh().backward()
    # The rival remembers nothing; the row that is compared with it is the fresh one.
    medians_of = {
        "fresh": measure(fresh, student, runs),
        "cached": measure(lambda: loss(student, teacher, edge_index), student, runs),
        "direct": measure(
            lambda: direct_loss(student, teacher, edge_index, kernel, width), student, runs
        ),
    }
    ours, cached, rival = (medians_of[name] for name in ("fresh", "cached", "direct"))
    scale = rival["grad"].abs().max()
    return {
        "what": f"LocalStructureLoss({kernel}), forward and backward",
        "size": f"{num_edges:,} edges x {channels} channels",
        "ours_ms": 1000 * ours["seconds"],
        "ours_cached_ms": 1000 * cached["seconds"],
        "rival": "edges x channels tensors, PyG softmax",
        "rival_ms": 1000 * rival["seconds"],
        "speedup": rival["seconds"] / ours["seconds"],
        "ours_mb": ours["mb"],
        "rival_mb": rival["mb"],
        "memory_ratio": rival["mb"] / max(ours["mb"], 1.0),
        "value_error": abs(ours["value"] - rival["value"]) / abs(rival["value"]),
        "gradient_error": float((ours["grad"] - rival["grad"]).abs().max() / scale),
    }


def rows(quick: bool) -> list[dict[str, Any]]:
    """One row per kernel; ``quick`` takes a hundredth of the edges."""
    size = (10_000, 64, 3) if quick else (1_000_000, 256, 3)
    return [compare(kernel, *size) for kernel in KERNELS]


if __name__ == "__main__":
    for row in rows("--quick" in sys.argv):
        print(json.dumps(row, indent=1))
