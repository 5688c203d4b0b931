"""Two graphs mixed into one, their labels weighted by what a network sees in the parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.sparse.csgraph import breadth_first_order
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.utils import to_scipy_sparse_matrix

from graphkit.catalog import method
from graphkit.modes import evaluating
from graphkit.precision import wide
from graphkit.taps import tap

__all__ = ["graph_snapmix"]

EXTRAS = ("edge_attr", "edge_weight")


@method(
    paper="arXiv:2012.04846",
    title="SnapMix: Semantically Proportional Mixing for Augmenting Fine-grained Data",
    authors="Shaoli Huang, Xinchao Wang, Dacheng Tao",
    venue="AAAI 2021",
    year=2021,
    code="https://github.com/Shaoli-Huang/SnapMix",
    licence="none",
    takes="two graphs, a graph classifier with a linear head",
    gives="one graph with a soft label",
    deviations=["Graphs are ours: the paper mixes images alone."],
    verified_by="tests/transforms/test_subgraph_mixing.py",
)
def graph_snapmix(
    a: Data,
    b: Data,
    model: nn.Module,
    layer: str,
    head: str,
    beta: float = 5.0,
    generator: torch.Generator | None = None,
) -> Data:
    r"""The idea of the `"SnapMix: Semantically Proportional Mixing for Augmenting Fine-grained
    Data" <https://arxiv.org/abs/2012.04846>`_ paper on graphs, which is ours: a connected part of
    one graph is replaced by one of another, and each label weighs what the network sees in its
    nodes.

    .. math::
        s_v = w_y^\top h_v, \quad
        S_v = \frac{s_v - \min s}{\sum_u (s_u - \min s)}, \qquad
        \rho_a = 1 - \sum_{v \in \mathcal{R}_a} S_v, \quad \rho_b = \sum_{v \in \mathcal{R}_b} S_v

    With a readout by mean or sum and a linear head :math:`s_v` is exactly what a node adds to the
    logit. Both parts are balls around a random node, in order of breadth-first search, of a share
    :math:`1 - \lambda` of the nodes, :math:`\lambda \sim \mathrm{Beta}(\beta, \beta)`; a component
    that is smaller is taken whole. An edge that ended in the part that is gone ends in the new
    one instead, at nodes drawn by how many edges each of them lost, and keeps its attributes.
    Edges are seen without direction where it comes to parts; what else graphs carry is left out.
    Time grows with nodes and edges.

    Args:
        a, b (Data): The receiving graph and the donor: ``x``, ``edge_index``, ``y`` of one class,
            and ``edge_attr`` and ``edge_weight`` where both have them.
        model (torch.nn.Module): A classifier, called as ``model(x, edge_index, batch=zeros)``, run
            in evaluation mode.
        layer (str): Name of the module that gives node features to the readout.
        head (str): Name of the linear layer behind the readout.
        beta (float, optional): :math:`\beta`. (default: :obj:`5.0`)
        generator (torch.Generator, optional): Draws the parts. (default: PyTorch's own)

    Shapes:
        - **input:** graphs of :math:`N_a` and :math:`N_b` nodes
        - **output:** ``y`` :math:`(1, K)`: soft, for :func:`torch.nn.functional.cross_entropy`;
          ``weight`` :math:`(1, 2)`: :math:`\rho_a, \rho_b`; ``donated`` :math:`(N)`: whether a
          node is the donor's; ``origin`` :math:`(N)`: its number there

    Raises:
        ValueError: If a graph has no node, not one class, or not the other's attributes.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from torch_geometric.data import Data
        >>> from graphkit.transforms import graph_snapmix
        >>> class Net(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.lin, self.head = nn.Linear(2, 4), nn.Linear(4, 3)
        ...     def forward(self, x, edge_index, batch):
        ...         return self.head(self.lin(x).mean(0, keepdim=True))
        >>> ring = torch.tensor([[0, 1, 2, 1, 2, 0], [1, 2, 0, 0, 1, 2]])
        >>> a, b = (Data(torch.rand(3, 2), ring, y=torch.tensor([c])) for c in (0, 2))
        >>> graph_snapmix(a, b, Net(), "lin", "head").y.shape
        torch.Size([1, 3])
    """
    if not 0 < beta < float("inf"):
        raise ValueError(f"'beta' must be above 0, got {beta}")
    weight: Any = getattr(model.get_submodule(head), "weight", None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"'head' must name a linear layer, '{head}' has no weight")
    for name, graph in (("a", a), ("b", b)):
        check_graph(name, graph, len(weight))
    extras, others = ([k for k in EXTRAS if getattr(g, k, None) is not None] for g in (a, b))
    if extras != others:
        raise ValueError("'a' and 'b' must both have edge_attr, or edge_weight, or neither")
    if a.x.shape[1:] != b.x.shape[1:]:
        raise ValueError(f"'b' has features {list(b.x.shape)}, 'a' {list(a.x.shape)}")
    random = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    gone, come = (ball(graph, float(random.beta(beta, beta)), random) for graph in (a, b))
    if not (gone.any() and come.any()):
        gone, come = torch.zeros_like(gone), torch.zeros_like(come)
    shares = [shares_of(graph, model, layer, weight.detach()) for graph in (a, b)]
    rho = torch.stack([shares[0][~gone].sum(), shares[1][come].sum()])
    mixed = joined(a, b, gone, come, extras, random)
    soft = rho.new_zeros(1, len(weight))
    for graph, value in zip((a, b), rho, strict=True):
        soft[0, int(graph.y)] += value
    mixed.y, mixed.weight = soft, rho.view(1, 2)
    return mixed


def check_graph(name: str, graph: Data, classes: int) -> None:
    """Refuses what cannot be mixed."""
    if graph.x is None or graph.edge_index is None or not graph.num_nodes:
        raise ValueError(f"'{name}' must have nodes with features and an edge_index")
    y = graph.y
    if not isinstance(y, Tensor) or y.numel() != 1 or not 0 <= int(y) < classes:
        raise ValueError(f"'{name}' must have 'y' of one class from 0 to {classes - 1}")


@torch.no_grad()
def shares_of(graph: Any, model: nn.Module, layer: str, weight: Tensor) -> Tensor:
    """Which share of the evidence for its class each node holds."""
    batch = graph.edge_index.new_zeros(graph.num_nodes)
    with evaluating(model), tap(model, layer) as record:
        model(graph.x, graph.edge_index, batch=batch)
    features = wide(record[layer].output)
    if features.shape != (graph.num_nodes, weight.size(1)):
        raise ValueError(
            f"'layer' must give [{graph.num_nodes}, {weight.size(1)}] node features, "
            f"'{layer}' gives {list(features.shape)}"
        )
    evidence = features @ wide(weight)[int(graph.y)]
    above = evidence - evidence.min()
    # What rounding makes of nodes that are all alike is no evidence.
    if above.max() <= 1e-6 * evidence.abs().max():
        above = torch.ones_like(above)
    return above / above.sum()


def ball(graph: Any, kept: float, random: np.random.Generator) -> Tensor:
    """A connected set of about ``1 - kept`` of the nodes, as a mask."""
    count = graph.num_nodes
    table = to_scipy_sparse_matrix(graph.edge_index, num_nodes=count).tocsr()
    start = int(random.integers(count))
    order = breadth_first_order(table, start, directed=False, return_predecessors=False)
    mask = torch.zeros(count, dtype=torch.bool)
    mask[torch.from_numpy(order[: round((1 - kept) * count)].astype(np.int64))] = True
    return mask.to(graph.edge_index.device)


def joined(
    a: Any, b: Any, gone: Tensor, come: Tensor, extras: list[str], random: np.random.Generator
) -> Data:
    """What is left of ``a``, what comes of ``b``, and the edges between them."""
    device, left = gone.device, int((~gone).sum())
    number_a = torch.cumsum(~gone, 0) - 1
    number_b = torch.cumsum(come, 0) - 1 + left
    out_a, out_b = gone[a.edge_index], come[b.edge_index]
    inside_a, inside_b = ~out_a.any(0), out_b.all(0)
    cut = out_a[0] != out_a[1] if come.any() else torch.zeros_like(inside_a)
    edges = [number_a[a.edge_index[:, inside_a]], number_b[b.edge_index[:, inside_b]]]
    parts = [(a, inside_a), (b, inside_b)]
    if cut.any():
        # Nodes that lost edges in the donor get them back here, each by its share.
        lost = b.edge_index[:, out_b[0] != out_b[1]]
        inner = lost[come[lost]]
        chance = torch.bincount(inner, minlength=len(come))[come].double().cpu().numpy()
        chance = chance / chance.sum() if chance.sum() else np.full(len(chance), 1 / len(chance))
        ends = a.edge_index[:, cut]
        # Both directions of an edge end at the same node.
        low, high = ends.amin(0), ends.amax(0)
        pairs, member = (low * len(gone) + high).unique(return_inverse=True)
        drawn = torch.from_numpy(random.choice(len(chance), len(pairs), p=chance)).to(device)
        target = drawn[member] + left
        edges.append(torch.where(gone[ends], target, number_a[ends]))
        parts.append((a, cut))
    mixed = Data(x=torch.cat([a.x[~gone], b.x[come]]), edge_index=torch.cat(edges, 1))
    for key in extras:
        mixed[key] = torch.cat([graph[key][mask] for graph, mask in parts])
    mixed.donated = torch.arange(left + int(come.sum()), device=device) >= left
    mixed.origin = torch.cat([(~gone).nonzero()[:, 0], come.nonzero()[:, 0]])
    mixed.num_nodes = len(mixed.origin)
    return mixed
