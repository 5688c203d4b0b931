"""An op against dense algebra on graphs whose rows are cut: values, and every gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.ops.oracles import CASES, random_graph

SOURCES, TARGETS, EDGES = 20, 12, 2100
SHARED = {"gatv2_attention": (2,), "gatv2_attention_edges": (2, 3, 4)}
SHARED |= {"dot_attention_edges": (3, 4), "self_attention": (1, 2)}
"""The operands that serve all graphs of a batch."""
DOUBLE, FLOAT = torch.float64, torch.float32
TRIED = [
    ((3, 5), DOUBLE, "none", 0, 1.0),
    ((8, 8), FLOAT, "target", 0, 4.0),
    ((8, 3), FLOAT, "none", 2, 1.0),
    ((8, 24), FLOAT, "source", 0, 1.0),
    ((2, 32), DOUBLE, "target", 3, 1.0),
    ((16, 8), FLOAT, "none", 2, 1.0),
    ((1, 19), DOUBLE, "source", 0, 4.0),
]
"""Arguments of :func:`assert_dense` by which each way through the kernels is walked once."""


def cut_graph(order: str = "none") -> Tensor:
    """A graph with hubs on both sides that several chunks share, and ends without edges.

    Args:
        order (str): ``"target"`` and ``"source"`` sort it by one of its ends.
    """
    edges = random_graph(SOURCES, TARGETS, EDGES, 4)
    edges[1, ::2], edges[0, 1::3] = 7, 11
    for row, size in zip(edges, (SOURCES, TARGETS), strict=True):
        # The first, one in the middle and the last have no edges.
        for empty in (0, size // 2, size - 1):
            row[row == empty] = 3
    rows = {"none": None, "target": 1, "source": 0}
    return edges if order == "none" else edges[:, edges[rows[order]].argsort(stable=True)]


def assert_dense(
    name: str,
    shape: tuple[int, int],
    dtype: torch.dtype = torch.float64,
    order: str = "none",
    batch: int = 0,
    scale: float = 1.0,
    edges: Tensor | None = None,
    derived: bool = True,
) -> None:
    """Values and gradients of a case are those of dense algebra in double precision.

    Args:
        name (str): One of ``CASES``.
        shape (tuple): Heads and width.
        dtype (torch.dtype): What the op is given.
        order (str): As :func:`cut_graph` has it.
        batch (int): Graphs of a static batch; 0 for no such dimension.
        scale (float): What all operands are multiplied by: large ones make scores far apart.
        edges (torch.Tensor, optional): Another graph, of no more nodes.
        derived (bool): Whether gradients are compared as well.
    """
    case, edges = CASES[name], cut_graph(order) if edges is None else edges
    generator = torch.Generator().manual_seed(sum(shape))
    shapes = case.shapes(edges.size(1), SOURCES, TARGETS, *shape)
    values = []
    for place, size in enumerate(shapes):
        many = (batch,) if batch and place not in SHARED.get(name, ()) else ()
        value = scale * torch.randn(*many, *size, generator=generator, dtype=torch.float64)
        values.append(value.to(dtype).requires_grad_())
    targets = SOURCES if name == "self_attention" else TARGETS
    out = case.run(edges, targets, *values)
    wide = [value.detach().double().requires_grad_() for value in values]
    wanted = dense(name, edges, targets, wide, batch)
    toward = torch.randn(wanted.shape, generator=generator, dtype=torch.float64)
    grads = torch.autograd.grad(out, values, toward.to(dtype)) if derived else ()
    others = torch.autograd.grad(wanted, wide, toward) if derived else ()
    for found, other in zip((out, *grads), (wanted, *others), strict=True):
        assert found.dtype == dtype
        assert found.shape == other.shape
        if not other.numel():
            continue
        limit = 1e-10 if dtype == torch.float64 else 1e-4
        error = (found.double() - other).abs().max()
        assert error <= limit * other.abs().max().clamp(min=1), f"{name} is off by {error}"


def dense(name: str, edges: Tensor, targets: int, values: list[Tensor], batch: int) -> Tensor:
    """The same by incidence matrices, graph by graph."""
    if not batch:
        return CASES[name].dense(edges, targets, *values)
    shared = SHARED.get(name, ())
    outs = []
    for b in range(batch):
        own = [v if place in shared else v[b] for place, v in enumerate(values)]
        outs.append(CASES[name].dense(edges, targets, *own))
    return torch.stack(outs)
