"""What both layers ask of their arguments, and edges with self loops."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit.nn.edges import with_loop_features, with_self_loops
from graphkit.nn.hooks import is_untouched
from graphkit.ops.checks import as_edge_index
from graphkit.ops.layout.rows import graph_of


def is_plain_linear(module: Any) -> bool:
    """Whether nobody could tell that a kernel multiplies by ``module.weight`` itself.

    Not so for modules put in the place of PyG's or PyTorch's linear map (low-rank adapters,
    quantised or parametrised ones), for those that carry hooks, and before a lazy one knows its
    width: its own hook is to find it.
    """
    if module is None:
        return True
    return is_untouched(module) and module.bias is None


def check_features(x: Any, width: int) -> None:
    """Raises unless ``x`` holds floats, ``[N, F]`` or ``[B, N, F]``, of the layer's width."""
    if x is None:
        raise ValueError(
            "x[1] is missing: the weight of an edge needs the features of both ends; hand in a "
            "pair of tensors"
        )
    if not isinstance(x, Tensor):
        raise TypeError(f"x must be a tensor or a pair of tensors, got {type(x).__name__}")
    if x.dim() not in (2, 3) or not x.is_floating_point():
        raise ValueError(f"x must hold floats in 2 or 3 dimensions, got {x.dtype} {list(x.shape)}")
    if width not in (-1, x.size(-1)):
        raise ValueError(f"x must have {width} channels, got {list(x.shape)}")


def ends_of(x: Any) -> tuple[Tensor, Any]:
    """The features of sources and of targets, which are checked elsewhere."""
    if isinstance(x, Tensor):
        return x, x
    if not isinstance(x, tuple | list) or len(x) != 2 or not isinstance(x[0], Tensor):
        raise TypeError(f"x must be a tensor or a pair of tensors, got {type(x).__name__}")
    return x[0], x[1]


def combined(out: Tensor, concat: bool, *terms: Tensor | None) -> Tensor:
    """The heads side by side or averaged, plus what is to be added, if there is anything."""
    out = out.flatten(-2) if concat else out.mean(-2)
    for term in terms:
        out = out if term is None else out + term
    return out


def checked_edges(edge_index: Tensor, x_src: Tensor, x_dst: Tensor) -> Tensor:
    """The plain edges, after a look at every index; compiled code leaves that to the kernel."""
    index = as_edge_index(edge_index)
    if not torch.compiler.is_compiling():
        graph_of(index, x_src.size(-3), x_dst.size(-3))
    return index


def with_loops(
    index: Tensor, edge_attr: Tensor | None, fill_value: Any, num_sources: int, num_targets: int
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The edges with one loop per node, their features, and which edges are void.

    In compiled code loops among the edges stay, void: they lead to a target beyond the last one.
    Elsewhere no edge is void.
    """
    num_nodes = min(num_sources, num_targets)
    if edge_attr is not None:
        edge_attr = with_loop_features(index, edge_attr, fill_value, num_nodes)
    edges, void = with_self_loops(index, num_nodes)
    if void is not None:
        edges = torch.stack([edges[0], edges[1].masked_fill(void, num_targets)])
    return edges, edge_attr, void
