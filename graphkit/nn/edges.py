"""An ``edge_index`` as layers need it: plain, turned round, with self loops; and what fits it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch_geometric.utils import add_self_loops, is_sparse, remove_self_loops, to_edge_index

from graphkit.ops.checks import as_edge_index
from graphkit.ops.layout.memo import remember

T = TypeVar("T")
Pair = tuple[Tensor, Tensor]
Size = tuple[int | None, int | None]


def plain_edges(edge_index: Any, flow: str = "source_to_target") -> Tensor:
    """The edges ``[2, E]`` of a tensor, an ``EdgeIndex`` or a sparse adjacency.

    As everywhere in PyG a sparse one is transposed, with a row per target. Its edges come in
    the order of its entries; their values are not read.
    """
    if not is_sparse(edge_index):
        return as_edge_index(edge_index)
    if flow != "source_to_target":
        raise ValueError(
            "'flow' must be 'source_to_target' when 'edge_index' is a sparse adjacency, which "
            "says itself who receives; hand in adj_t.t() instead"
        )
    return to_edge_index(edge_index)[0].flip(0)


def is_adjacency(edge_index: Any) -> bool:
    """PyG's :func:`~torch_geometric.utils.is_sparse`, which plain edges are asked only once."""
    if type(edge_index) is Tensor and edge_index.layout == torch.strided:
        return False
    return is_sparse(edge_index)


def by_flow(edges: Tensor, flow: str) -> Tensor:
    """The edges with the senders in the first row; what was turned is kept with the edges."""
    if flow == "source_to_target":
        return edges
    return known(edges, "turned", lambda edges: edges.flip(0))


def with_self_loops(edges: Tensor, num_nodes: int) -> tuple[Tensor, Tensor | None]:
    """The edges with one loop per node behind them, and which of them are void.

    Loops among the edges are replaced: in compiled code they stay and are called void, since a
    tensor whose length depends on its values does not survive the compiler's backward pass.
    Elsewhere they are taken out, no mask is needed, and the result is kept with the edges.
    """
    if torch.compiler.is_compiling():
        everywhere = add_self_loops(edges, num_nodes=num_nodes)[0]
        loops = edges[0] == edges[1]
        return everywhere, torch.cat([loops, loops.new_zeros(num_nodes)])
    return known(edges, ("loops", num_nodes), lambda edges: looped(edges, num_nodes)), None


def looped(edges: Tensor, num_nodes: int) -> Tensor:
    """Replaces all self loops by one per node, at the end."""
    return add_self_loops(remove_self_loops(edges)[0], num_nodes=num_nodes)[0]


def with_loop_features(
    edges: Tensor, edge_attr: Tensor, fill_value: float | Tensor | str, num_nodes: int
) -> Tensor:
    """The features of the edges that :func:`with_self_loops` gives, filled in as PyG does."""
    loops = edges[0] == edges[1]
    # A reduction must not hear the loops that go, nor targets that get no loop: they are sent
    # to one more node, whose own loop is then left out.
    heard = edges.masked_fill(loops | (edges[1] >= num_nodes), num_nodes)
    _, filled = add_self_loops(heard, edge_attr, fill_value, num_nodes + 1)
    features = filled[:-1]
    if torch.compiler.is_compiling():
        return features
    return features[torch.cat([~loops, loops.new_ones(num_nodes)])]


def without_void(edges: Tensor, values: Tensor, void: Tensor | None) -> tuple[Tensor, Tensor]:
    """The edges and their values ``[E, *]`` or ``[B, E, *]`` as they are without void ones."""
    if void is None:
        return edges, values
    rest = (~void).nonzero().view(-1)
    return edges.index_select(1, rest), values.index_select(-2, rest)


def void_scores(score: Tensor, void: Tensor | None) -> Tensor:
    """Scores ``[*, E, H]`` that give void edges a weight of exactly zero."""
    return score if void is None else score.masked_fill(void.unsqueeze(-1), -torch.inf)


def given_size(edge_index: Any, size: Size | None) -> Size:
    """The numbers of nodes for both rows of the edges, as far as the caller says them."""
    if is_sparse(edge_index):
        return edge_index.size(1), edge_index.size(0)
    return (None, None) if size is None else (size[0], size[1])


def check_size(size: Size, num_sources: int, num_targets: int, flow: str) -> tuple[int, int]:
    """The numbers of nodes for both rows of the edges, if they are those that were said."""
    ends = (num_sources, num_targets)
    rows = ends if flow == "source_to_target" else ends[::-1]
    if any(said is not None and said != there for said, there in zip(size, rows, strict=True)):
        raise ValueError(
            f"'size' (or the shape of a sparse 'edge_index') says {tuple(size)} nodes for the "
            f"two rows of the edges, but 'x' has {rows}"
        )
    return rows


def count_targets(num_sources: int, targets: int | None, size: Size | None, flow: str) -> int:
    """The number of targets: of their features where they have some, else what ``size`` says."""
    if targets is None:
        targets = num_sources if size is None or size[1] is None else size[1]
    if size is not None:
        check_size(size, num_sources, targets, flow)
    return targets


def as_pair(x: Any) -> Pair:
    """The features of sources and targets: twice the same for one set of nodes."""
    first, second = (x, x) if isinstance(x, Tensor) or not isinstance(x, (tuple, list)) else x
    for place, part in (("", first), ("[1]", second)):
        if part is None:
            raise ValueError(
                f"'x'{place} is missing: the weight of an edge needs the features of both ends"
            )
        if not isinstance(part, Tensor):
            raise TypeError(
                f"'x' must be a tensor, or a pair of tensors for two sets of nodes, got "
                f"{type(x).__name__}"
            )
        if part.dim() not in (2, 3) or not part.is_floating_point():
            raise ValueError(
                f"'x' must hold floats in 2 or 3 dimensions, got {part.dtype} {list(part.shape)}"
            )
    return first, second


def check_width(x: Tensor, width: int) -> None:
    """Raises unless the features have the width of the layer, if that is known."""
    if width not in (-1, x.size(-1)):
        raise ValueError(f"'x' must have {width} channels, got {list(x.shape)}")


def known(index: Tensor, key: Hashable, build: Callable[[Tensor], T]) -> T:
    """``build(index)``, kept with the index tensor outside of compiled code."""
    return remember(index, key, lambda: build(index))
