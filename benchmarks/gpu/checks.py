"""Every Triton kernel beside the definition, at shapes, strides and dtypes at a block's edges."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphkit import ops
from graphkit.ops import attention

# Below, at and above the powers of two that tiles are made of.
SHAPES = ((1, 1), (8, 8), (3, 5), (2, 17), (1, 128), (1, 129), (5, 33), (16, 16), (9, 64))
FEW = ((3, 5), (8, 8))
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5, torch.float16: 1e-2, torch.bfloat16: 6e-2}


@dataclass(frozen=True)
class Case:
    """An op, and the shapes of its inputs by edges, nodes, heads and width."""

    call: Callable[..., Tensor]
    shapes: Callable[[int, int, int, int], list[tuple[int, ...]]]


CASES = {
    "sum": Case(lambda i, n, x: ops.spmm(i, None, x, n), lambda e, n, h, c: [(n, h, c)]),
    "weighted sum": Case(
        lambda i, n, w, x: ops.spmm(i, w, x, n), lambda e, n, h, c: [(e, h), (n, h, c)]
    ),
    "dot products": Case(
        lambda i, n, a, b: ops.sddmm(i, a, b), lambda e, n, h, c: [(n, h, c), (n, h, c)]
    ),
    "softmax": Case(lambda i, n, s: ops.edge_softmax(i, s, n), lambda e, n, h, c: [(e, h * c)]),
    "attention": Case(
        lambda i, n, x, s, d: ops.gat_attention(i, x, s, d),
        lambda e, n, h, c: [(n, h, c), (n, h), (n, h)],
    ),
    "attention, edges and dropout": Case(
        lambda i, n, x, s, d, t: ops.gat_attention(i, x, s, d, 0.2, 0.5, True, score_edge=t),
        lambda e, n, h, c: [(n, h, c), (n, h), (n, h), (e, h)],
    ),
    "GATv2": Case(
        lambda i, n, s, d, a: ops.gatv2_attention(i, s, d, a),
        lambda e, n, h, c: [(n, h, c), (n, h, c), (h, c)],
    ),
    "dot attention": Case(
        lambda i, n, q, k, v: ops.dot_attention(i, q, k, v), lambda e, n, h, c: [(n, h, c)] * 3
    ),
}


def edges_at_blocks() -> Tensor:
    """Targets of 0, 1, 31, 32, 33 and 300 edges: rows that end at, before and after a block."""
    counts = torch.tensor([0, 1, 31, 32, 33, 300, 0])
    target = torch.repeat_interleave(torch.arange(counts.numel()), counts)
    generator = torch.Generator().manual_seed(0)
    source = torch.randint(counts.numel(), target.shape, generator=generator)
    order = torch.randperm(target.numel(), generator=generator)
    return torch.stack([source, target])[:, order]


def wanted(quick: bool) -> Iterator[tuple[str, tuple[int, int], torch.dtype, bool]]:
    """What is tried: all shapes in float32, some in every dtype, and strided inputs."""
    for name in CASES:
        for shape in FEW if quick else SHAPES:
            yield name, shape, torch.float32, False
        for dtype in DTYPES[1:3] if quick else DTYPES[1:]:
            yield name, (3, 5), dtype, False
        yield name, (3, 5), torch.float32, True


def error_of(
    name: str, shape: tuple[int, int], dtype: torch.dtype, strided: bool, device: torch.device
) -> float:
    """The largest error of the output and all gradients, in parts of the largest value."""
    case, edge_index, nodes = CASES[name], edges_at_blocks(), 7
    generator = torch.Generator().manual_seed(1)
    shapes = case.shapes(edge_index.size(1), nodes, *shape)
    values = [torch.randn(s, generator=generator).to(dtype) for s in shapes]
    outcomes: list[list[Tensor]] = []
    for backend, place, kind in (("triton", device, dtype), ("reference", "cpu", torch.float64)):
        inputs = [value.to(place, kind) for value in values]
        if strided and backend == "triton":
            inputs = [torch.stack([value, value], -1)[..., 0] for value in inputs]
        inputs = [value.requires_grad_() for value in inputs]
        torch.manual_seed(2)
        with ops.backend(backend), fixed_seed():
            out = case.call(edge_index.to(place), nodes, *inputs)
        weight = torch.linspace(-1, 1, out.numel()).view(out.shape).to(dtype).to(out)
        outcomes.append([out, *torch.autograd.grad((out * weight).sum(), inputs)])
    return max(
        float((a.detach().cpu().double() - b.detach()).abs().max() / (b.detach().abs().max() + 1))
        for a, b in zip(*outcomes, strict=True)
    )


@contextmanager
def fixed_seed() -> Iterator[None]:
    """Dropout draws the same seed on a GPU and on a CPU, whose generators differ."""
    before = attention.draw_seed
    attention.draw_seed = lambda device: torch.full((1,), 1234, device=device)
    try:
        yield
    finally:
        attention.draw_seed = before


def check_all(device: torch.device, quick: bool, seconds: float) -> list[dict[str, Any]]:
    """One row per case that fits into the time; the first ones always do."""
    begin = time.perf_counter()
    rows: list[dict[str, Any]] = []
    for name, shape, dtype, strided in wanted(quick):
        if rows and time.perf_counter() - begin > seconds:
            rows.append({"what": "the rest", "right": True, "skipped": "no time was left"})
            break
        error = error_of(name, shape, dtype, strided, device)
        rows.append(
            {
                "what": name,
                "heads": shape[0],
                "width": shape[1],
                "dtype": str(dtype).removeprefix("torch."),
                "strided": strided,
                "error": error,
                # Not a number is no error below the tolerance.
                "right": error <= TOLERANCE[dtype],
            }
        )
    return rows
