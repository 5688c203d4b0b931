"""Paths as the rows that kernels walk: found, checked, sorted by centre."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch
from torch import Tensor

from graphkit import ops
from graphkit.nn.edges import known
from graphkit.ops.checks import check_tensors
from graphkit.ops.situation import without_transform

Paths = Mapping[int, Tensor]


def found_paths(edges: Tensor, paths: str, longest: int, num_nodes: int, flow: str) -> Paths | None:
    """The paths that ``paths="auto"`` stands for, searched once per graph."""
    if paths != "auto":
        raise ValueError(f"'paths' must be a dict of paths or 'auto', got {paths!r}")
    if longest == 2:
        return None
    if torch.compiler.is_compiling():
        raise ValueError("paths='auto' is a search, which compiled code cannot do: hand in 'paths'")
    # Paths run from the receiving node, so against the messages.
    row = 1 if flow == "source_to_target" else 0

    def search(edges: Tensor) -> Paths:
        out = edges.flip(0) if row else edges
        return ops.shortest_paths(out, max_nodes=longest, num_nodes=num_nodes)

    return known(edges, ("paths", longest, num_nodes, row), search)


def path_rows(paths: Paths | None, length: int, num_nodes: int, self_paths: bool) -> Tensor:
    """The paths ``[length, P]`` sorted by centre, self paths among them if wanted."""
    if paths is not None and not isinstance(paths, Mapping):
        raise TypeError(f"'paths' must be a dict of tensors, got {type(paths).__name__}")
    rows = None if paths is None else paths.get(length)
    check_tensors(paths=rows)
    if rows is None:
        raise ValueError(
            f"'paths' has no paths of {length} nodes: hand in paths_of(AddShortestPaths({length})"
            "(data)) of graphkit.transforms, say paths='auto', or attend to edges alone with "
            "lengths=(2,)"
        )
    if rows.dim() != 2 or rows.size(1) != length or rows.is_floating_point():
        raise ValueError(
            f"'paths' must hold integers [P, {length}] under {length}, "
            f"got {rows.dtype} {list(rows.shape)}"
        )
    rows = without_transform(rows, "paths")
    build = functools.partial(sorted_rows, num_nodes=num_nodes, self_paths=self_paths)
    return known(rows, ("rows", num_nodes, self_paths), build)


def sorted_rows(paths: Tensor, num_nodes: int, self_paths: bool) -> Tensor:
    """Paths as columns, sorted by centre; checks that their nodes are there."""
    if self_paths:
        every = torch.arange(num_nodes, device=paths.device)
        paths = torch.cat([paths, every.view(-1, 1).expand(-1, paths.size(1))])
    if not torch.compiler.is_compiling() and ((paths < 0) | (paths >= num_nodes)).any():
        raise IndexError(
            f"'paths' names nodes {int(paths.min())} to {int(paths.max())}, "
            f"but x has {num_nodes} rows"
        )
    return paths[paths[:, 0].argsort(stable=True)].t().contiguous()


def members_to_centre(rows: Tensor) -> Tensor:
    """Edges from every node of a path but the first to the first."""
    return torch.stack([rows[1:].flatten(), rows[0].repeat(rows.size(0) - 1)])


def numbered(rows: Tensor) -> Tensor:
    """Edges from every path, by its number, to its first node."""
    return torch.stack([torch.arange(rows.size(1), device=rows.device), rows[0]])
