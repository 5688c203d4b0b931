"""Do neighbours tell two samples apart?"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from graphkit.refusals import refuse_outside

__all__ = ["NeighbourTest", "neighbour_test"]


class NeighbourTest(NamedTuple):
    """The result of :func:`neighbour_test`.

    Args:
        share (float): Edges between samples of one kind, of all edges.
        expected (float): The same where kinds mean nothing.
        p_value (float): How often shuffled kinds give a share as large.
        precision (float): Samples of kind 0 that have a neighbour of kind 1.
        recall (float): Samples of kind 1 that have a neighbour of kind 0.
    """

    share: float
    expected: float
    p_value: float
    precision: float
    recall: float


def neighbour_test(
    edge_index: Tensor, y: Tensor, permutations: int = 200, seed: int = 0
) -> NeighbourTest:
    r"""The nearest-neighbour two-sample test of the `"Multivariate Two-Sample Tests Based on
    Nearest Neighbors" <https://doi.org/10.1080/01621459.1986.10478337>`_ paper, on any graph.

    .. math::
        T = \frac{1}{|E|} \sum_{(u, v) \in E} [\, y_u = y_v \,], \qquad
        \mathbb{E}\, T = \frac{n_0 (n_0 - 1) + n_1 (n_1 - 1)}{n (n - 1)}

    The expectation is over all ways to give the kinds to the nodes, and so is the :math:`p`-value,
    of a sample of them. Time grows with the number of permutations times that of edges.

    Args:
        edge_index (torch.Tensor): Edges between neighbours, no self loops.
        y (torch.Tensor): The kind of each node: 1, such as real, or 0, such as generated.
        permutations (int, optional): Shuffles. (default: :obj:`200`)
        seed (int, optional): Of the shuffles. (default: :obj:`0`)

    Shapes:
        - **input:** :math:`(2, E)` and :math:`(N)`
        - **output:** five numbers

    Raises:
        ValueError: If there is no edge, a kind is missing, kinds are not 0 and 1, or an end is no
            node.
        TypeError: If kinds or ends are no whole numbers.

    Example:
        >>> import torch
        >>> edge_index = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
        >>> found = neighbour_test(edge_index, torch.tensor([1, 1, 0, 0]))
        >>> found.share, round(found.expected, 3), found.recall
        (1.0, 0.333, 0.0)
    """
    kinds = y.unique().tolist()
    if y.dim() != 1 or kinds != [0, 1]:
        raise ValueError(f"'y' must hold 0 and 1, both, in one dimension; it holds {kinds}")
    if edge_index.size(1) == 0:
        raise ValueError("'edge_index' holds no edge; raise the number of neighbours")
    refuse_outside("y", y, 2)
    refuse_outside("edge_index", edge_index, len(y))
    source, target = edge_index
    share = float((y[source] == y[target]).double().mean())
    generator = torch.Generator().manual_seed(seed)
    as_large = 1  # The kinds as they are count as one way to give them.
    for _ in range(permutations):
        shuffled = y[torch.randperm(len(y), generator=generator).to(y.device)]
        as_large += float((shuffled[source] == shuffled[target]).double().mean()) >= share
    count = [int((y == kind).sum()) for kind in (0, 1)]
    pairs = sum(n * (n - 1) for n in count)
    met = torch.zeros(2, len(y), dtype=torch.bool, device=y.device)
    for ends in (edge_index, edge_index.flip(0)):
        met[y[ends[0]], ends[1]] = True
    return NeighbourTest(
        share,
        pairs / (len(y) * (len(y) - 1)),
        as_large / (permutations + 1),
        float(met[1][y == 0].double().mean()),
        float(met[0][y == 1].double().mean()),
    )
