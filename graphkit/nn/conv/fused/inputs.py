"""What both layers ask of their arguments, and edges with self loops."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import Linear
from torch_geometric.utils import add_self_loops, is_torch_sparse_tensor, remove_self_loops

from graphkit.ops.checks import as_edge_index
from graphkit.ops.layout.memo import remember
from graphkit.ops.layout.rows import graph_of

Ends = tuple[Tensor, Tensor]


def is_plain_edges(edge_index: Any) -> bool:
    """Whether the edges are a dense tensor, maybe an ``EdgeIndex``."""
    return isinstance(edge_index, Tensor) and not is_torch_sparse_tensor(edge_index)


def is_plain_linear(module: Any) -> bool:
    """Whether nobody could tell that a kernel multiplies by ``module.weight`` itself.

    Not so for modules put in the place of PyG's or PyTorch's linear map (low-rank adapters,
    quantised or parametrised ones), for those that carry hooks, and before a lazy one knows its
    width: its own hook is to find it.
    """
    if module is None:
        return True
    # PyTorch has no public list of the hooks on a module.
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    plain = type(module) in (nn.Linear, Linear) and module.bias is None
    return plain and not any(getattr(module, name) for name in hooks)


def check_features(x: Any, width: int) -> None:
    """Raises unless ``x`` holds floats, ``[N, F]`` or ``[B, N, F]``, of the layer's width."""
    if not isinstance(x, Tensor):
        raise TypeError(f"x must be a tensor or a pair of tensors, got {type(x).__name__}")
    if x.dim() not in (2, 3) or not x.is_floating_point():
        raise ValueError(f"x must hold floats in 2 or 3 dimensions, got {x.dtype} {list(x.shape)}")
    if width not in (-1, x.size(-1)):
        raise ValueError(f"x must have {width} channels, got {list(x.shape)}")


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

    Loops among the edges are replaced. In compiled code they stay and are void, since a tensor
    whose length depends on its values does not survive the compiler's backward pass: they lead to
    a target beyond the last one. Elsewhere they are taken out, no edge is void, and the edges
    are kept with those that came in.
    """
    num_nodes = min(num_sources, num_targets)
    if not torch.compiler.is_compiling():
        if edge_attr is not None:
            _, edge_attr = looped(index, edge_attr, fill_value, num_nodes)
        key = ("loops", index.storage_offset(), tuple(index.shape), index.stride(), num_nodes)
        edges = remember(index, key, lambda: looped(index, None, None, num_nodes)[0])
        return edges, edge_attr, None
    loops = index[0] == index[1]
    beyond = torch.stack([index[0], index[1].masked_fill(loops, num_targets)])
    if edge_attr is not None:
        # Where features are reduced, nobody must hear the loops that go, nor the targets that get
        # no loop: all of these belong to one more node, whose own loop is left out.
        heard = index.masked_fill(loops | (index[1] >= num_nodes), num_nodes)
        _, filled = add_self_loops(heard, edge_attr, fill_value, num_nodes + 1)
        edge_attr = None if filled is None else filled[:-1]
    void = torch.cat([loops, loops.new_zeros(num_nodes)])
    return add_self_loops(beyond, num_nodes=num_nodes)[0], edge_attr, void


def looped(
    index: Tensor, edge_attr: Tensor | None, fill_value: Any, num_nodes: int
) -> tuple[Tensor, Tensor | None]:
    """Edges and features with all self loops replaced by one per node, at the end."""
    rest, edge_attr = remove_self_loops(index, edge_attr)
    return add_self_loops(rest, edge_attr, fill_value, num_nodes)
