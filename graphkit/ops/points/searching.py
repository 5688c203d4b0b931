"""From tensors as callers have them to a query, and from its answer to edges."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from graphkit.ops.points.candidates import descent_blocks, tree_blocks
from graphkit.ops.points.exhaustive import exhaustive_blocks
from graphkit.ops.points.query import Block, Query, join

TREE_DIMS = 10
"""With more coordinates a kd-tree looks at most of the points."""

APPROXIMATE_FROM = 4096
"""Fewer points are searched exactly: that is as fast."""

BACKENDS: dict[str, Callable[[Query], Iterator[Block]]] = {
    "tree": tree_blocks,
    "exhaustive": exhaustive_blocks,
    "approximate": descent_blocks,
}


def graph(
    x: Tensor,
    batch: Tensor | None,
    loop: bool,
    count: int | None,
    radius: float,
    cosine: bool,
    workers: int,
    batch_size: int | None,
    backend: str | None,
) -> Tensor:
    """Each point ``[2, E]`` and its neighbours, sorted by the first, itself first of all."""
    others = count if count is None or not loop else count - 1
    sets = batch, batch
    edges = search(x, x, sets, others, radius, True, cosine, workers, batch_size, backend)
    if not loop:
        return edges
    itself = torch.arange(len(x), device=edges.device).expand(2, -1)
    edges = torch.cat([itself, edges], 1)
    return edges[:, edges[0].argsort(stable=True)]


def search(
    x: Tensor,
    y: Tensor,
    sets: tuple[Tensor | None, Tensor | None],
    count: int | None,
    radius: float,
    itself: bool,
    cosine: bool,
    workers: int,
    batch_size: int | None,
    backend: str | None,
) -> Tensor:
    """Pairs ``[2, E]`` of a point of ``y`` and one of ``x``, sorted by the first."""
    # A graph has one set of points, and its caller gave one 'batch'.
    names = ("x", "batch") if itself else ("x", "batch_x")
    device, points = x.device, checked_points(x, names[0], cosine)
    point_sets = checked_sets(sets[0], points, names[1], batch_size)
    centres, centre_sets = points, point_sets
    if not itself:
        centres = checked_points(y, "y", cosine)
        centre_sets = checked_sets(sets[1], centres, "batch_y", batch_size)
        if points.size(1) != centres.size(1):
            raise ValueError(f"'x' has {points.size(1)} coordinates, 'y' {centres.size(1)}")
    if backend is not None and backend not in BACKENDS:
        known = [*BACKENDS, "pyg-lib"]
        raise ValueError(f"'backend' must be one of {known} or None, got {backend!r}")
    if isinstance(workers, bool) or not (workers == -1 or workers >= 1):
        raise ValueError(f"'num_workers' must be -1 or at least 1, got {workers!r}")
    if count == 0 or not len(points) or not len(centres):
        return torch.empty(2, 0, dtype=torch.long, device=device)
    # Every search counts on sets that follow one another; the numbers go back afterwards.
    (points, point_sets, place), (centres, centre_sets, line) = (
        sorted_by_set(points, point_sets),
        sorted_by_set(centres, centre_sets),
    )
    points, centres, radius = in_range(points, centres, radius)
    query = Query(
        points,
        torch.arange(len(points), device=points.device),
        point_sets,
        centres,
        centre_sets,
        count,
        radius,
        itself,
        cosine,
        workers,
    ).without_spare_copies()
    with torch.no_grad():
        blocks = BACKENDS[backend_for(query, backend)](query)
        counts, places = join(blocks, query)
    edges = torch.stack([line.repeat_interleave(counts), place[places]])
    # Pairs of a centre stay together and in order: a stable sort moves them as a whole.
    if not bool((line.diff() >= 0).all()):
        edges = edges[:, edges[0].argsort(stable=True)]
    return edges.to(device)


def backend_for(query: Query, asked: str | None) -> str:
    """The search that fits, where the caller leaves it open."""
    few = query.points.size(1) <= TREE_DIMS
    on_cpu = query.points.device.type == "cpu"
    if asked == "tree" and not on_cpu:
        raise ValueError("backend='tree' needs 'x' on the CPU")
    if asked == "approximate" and on_cpu and len(query.points) >= APPROXIMATE_FROM:
        return asked
    if asked in ("tree", "exhaustive"):
        return asked if query.points.size(1) else "exhaustive"
    return "tree" if few and on_cpu and query.points.size(1) else "exhaustive"


def checked_points(x: Tensor, name: str, cosine: bool) -> Tensor:
    """Coordinates in double precision, of length one where angles count."""
    if x.dim() == 1:
        x = x.unsqueeze(1)
    if x.dim() != 2 or x.is_complex():
        raise ValueError(f"'{name}' must hold real numbers [N, D], got {x.dtype} {list(x.shape)}")
    if x.device.type not in ("cpu", "cuda"):
        x = x.cpu()
    x = x.detach().double()
    if not bool(x.isfinite().all()):
        raise ValueError(f"'{name}' holds NaN or infinite values")
    if cosine and x.numel():
        # Halving and doubling round nothing, and then no square is too large or too small.
        exponent = torch.frexp(x.abs().amax(1, keepdim=True)).exponent
        x = torch.nn.functional.normalize(torch.ldexp(x, -exponent), dim=1)
    return x


def checked_sets(batch: Tensor | None, x: Tensor, name: str, batch_size: int | None) -> Tensor:
    """The set of every point."""
    if batch is None:
        return torch.zeros(len(x), dtype=torch.long, device=x.device)
    if batch.dim() != 1 or batch.is_floating_point() or batch.is_complex():
        raise ValueError(
            f"'{name}' must hold integers in one dimension, got {batch.dtype} {list(batch.shape)}"
        )
    if len(batch) != len(x):
        raise ValueError(f"'{name}' has {len(batch)} entries for {len(x)} points")
    if len(batch) and (int(batch.min()) < 0 or int(batch.max()) >= (batch_size or torch.inf)):
        raise ValueError(
            f"'{name}' must be in [0, {batch_size or 'number of sets'}), it holds "
            f"{int(batch.min())} to {int(batch.max())}"
        )
    return batch.to(x.device, torch.long)


def sorted_by_set(x: Tensor, sets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Points, their sets, and the number each had before."""
    if bool((sets.diff() >= 0).all()):
        return x, sets, torch.arange(len(x), device=x.device)
    order = sets.argsort(stable=True)
    return x[order], sets[order], order


def in_range(points: Tensor, centres: Tensor, radius: float) -> tuple[Tensor, Tensor, float]:
    """Scaled by a power of two, which changes no comparison, where squares would overflow."""
    largest = max(float(each.abs().max()) if each.numel() else 0.0 for each in (points, centres))
    if largest == 0 or 2.0**-400 < largest < 2.0**400:
        return points, centres, radius
    scale = 2.0 ** -max(min(math.frexp(largest)[1], 1000), -1000)
    return points * scale, centres * scale, radius * scale


def whole(value: int, name: str) -> int:
    """A count of at least one."""
    try:
        number = operator.index(value)
    except TypeError as error:
        raise TypeError(f"'{name}' must be a whole number, got {value!r}") from error
    if number < 1:
        raise ValueError(f"'{name}' must be at least 1, got {value}")
    return number


def check_flow(flow: str) -> None:
    """Refuses a direction that PyG does not know."""
    if flow not in ("source_to_target", "target_to_source"):
        raise ValueError(f"'flow' must be 'source_to_target' or 'target_to_source', got {flow!r}")


def check_radius(r: float, count: int | None, backend: str | None) -> tuple[float, int | None]:
    """A distance of at least zero, and the most neighbours."""
    if not float(r) >= 0:
        raise ValueError(f"'r' must be at least 0, got {r}")
    if backend == "approximate":
        raise ValueError("backend='approximate' finds nearest neighbours, not all within 'r'")
    return float(r), None if count is None else whole(count, "max_num_neighbors")
