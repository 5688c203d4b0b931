"""How far learned factor graphs are from the true ones, beside what chance would reach."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from graphkit.metrics.factor_consistency import consistency_score
from graphkit.refusals import refuse_infinite

__all__ = ["FactorGED", "factor_ged"]


@dataclass
class FactorGED:
    """What :func:`factor_ged` found.

    Args:
        costs (torch.Tensor): Per graph, the edit distance averaged over its true factors;
            NaN for graphs without any.
        matches (torch.Tensor): Per graph and true factor, the learned factor it was matched
            with; -1 where the true factor is absent or no learned one was left.
        consistency (float): The C-Score of these matches.
        floors (dict): The same for learned factors that know nothing: :obj:`"random_gate"`
            and :obj:`"single_graph"`.
    """

    costs: Tensor
    matches: Tensor
    consistency: float
    floors: dict[str, FactorGED] = field(default_factory=dict, repr=False)

    @property
    def mean(self) -> float:
        """GED_E: the mean over graphs."""
        return float(self.costs.nanmean())

    @property
    def std(self) -> float:
        """The standard deviation over graphs."""
        known = self.costs[~self.costs.isnan()]
        return float(known.std(unbiased=False))

    def compare(self, floor: str = "random_gate") -> dict[str, float]:
        """Mean difference to a floor over the same graphs, with a paired t-test.

        Args:
            floor (str, optional): A key of :attr:`floors`. (default: :obj:`"random_gate"`)
        """
        from scipy.stats import ttest_rel

        if floor not in self.floors:
            raise ValueError(f"'floor' must be one of {sorted(self.floors)}, got {floor!r}")
        mine, theirs = self.costs.numpy(), self.floors[floor].costs.numpy()
        known = ~np.isnan(mine)
        test = ttest_rel(mine[known], theirs[known])
        return {
            "difference": float((mine - theirs)[known].mean()),
            "t": float(test.statistic),
            "p": float(test.pvalue),
        }


def factor_ged(
    score: Tensor,
    truth: Tensor,
    edge_index: Tensor,
    batch: Tensor | None = None,
    floors: bool = True,
    draws: int = 5,
    seed: int = 0,
    break_ties: Literal["first", "random"] = "first",
) -> FactorGED:
    r"""GED_E of the `"Factorizable Graph Convolutional Networks"
    <https://arxiv.org/abs/2010.05421>`_ paper, with its floors.

    .. math::
        \mathrm{GED}_E = \frac{1}{|T|} \min_{\pi} \sum_{t \in T}
        \left| \mathbf{A}_t - \operatorname{top}_{|\mathbf{A}_t|}
        (\mathbf{S}_{\pi(t)}) \right|_1, \qquad \mathbf{S} = \tfrac{1}{2}
        (\mathbf{S} + \mathbf{S}^{\top})

    Each true factor graph :math:`\mathbf{A}_t` of a graph is matched with one learned factor
    by the Hungarian method; of a learned factor as many best-ranked edges count as the true
    one has, so that the number of true edges is given away.  Both directions of an edge count,
    self loops do not.

    Whatever ranks the edges may be given: gates, or scores before the sigmoid.  Edges that tie
    for the last places share them, so the result is the expected distance under random
    tie-breaking; the released code lets the order of the edges decide, which flatters
    saturated gates.  A true factor that finds no learned factor costs all its edges.

    Chance gets far, and further the more factors there are.  The floors say how far on the
    same graphs: :obj:`"random_gate"` ranks by independent uniform numbers, averaged over
    :obj:`draws` draws, :obj:`"single_graph"` lets every factor be the input graph.

    Memory and time grow with :math:`B \cdot E_{max} \cdot T \cdot K`, with :math:`E_{max}`
    the largest number of edges of a graph.

    Args:
        score (torch.Tensor): What ranks the edges, per learned factor.
        truth (torch.Tensor): Which true factors hold which edges.
        edge_index (torch.Tensor): Edges, both directions of each.
        batch (torch.Tensor, optional): The graph of each node. (default: one graph)
        floors (bool, optional): Computes the floors. (default: :obj:`True`)
        draws (int, optional): Random rankings behind the floor. (default: :obj:`5`)
        seed (int, optional): Seed of what is random. (default: :obj:`0`)
        break_ties (str, optional): Between equally good matches :obj:`"first"` takes the
            factor with the lowest number, as the released code does, which lifts every
            C-Score (to 0.36 for random gates and :math:`K = 4`); :obj:`"random"` does not.
            (default: :obj:`"first"`)

    Shapes:
        - **input:** scores :math:`(E, K)`, truth :math:`(E, T)`, edges :math:`(2, E)`, graph
          of each node :math:`(N)`
        - **output:** costs :math:`(B)`, matches :math:`(B, T)`

    Raises:
        ValueError: If shapes do not fit, a score is NaN or infinite, an edge comes twice or lacks
            its other direction, or an option is unknown.

    Example:
        >>> import torch
        >>> from graphkit.metrics import factor_ged
        >>> edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> truth = torch.tensor([[1, 0], [1, 0], [0, 1], [0, 1]])
        >>> result = factor_ged(truth.flip(1).float(), truth, edge_index)
        >>> result.mean, result.matches.tolist(), result.floors["single_graph"].mean
        (0.0, [[1, 0]], 2.0)
    """
    if break_ties not in ("first", "random"):
        raise ValueError(f"'break_ties' must be 'first' or 'random', got {break_ties!r}")
    # Minus infinity would tie with the edges that fill up smaller graphs of the batch.
    refuse_infinite("score", score)
    score = score.detach().double()
    rank, mask, graph, graphs = undirected(score, truth, edge_index, batch)
    generator = torch.Generator().manual_seed(seed)
    slot = torch.arange(graph.numel(), device=graph.device) - torch.searchsorted(graph, graph)
    width = int(slot.max()) + 1 if slot.numel() else 0

    def spread(values: Tensor, empty: float) -> Tensor:
        full = values.new_full((graphs, width, values.size(1)), empty)
        return full.index_put((graph, slot), values)

    def judge(values: Tensor) -> FactorGED:
        jitter = generator if break_ties == "random" else None
        return matched(spread(values, -torch.inf), spread(mask, 0.0), jitter)

    result = judge(rank)
    if floors:
        guesses = [
            judge(torch.rand(rank.shape, generator=generator, dtype=rank.dtype))
            for _ in range(draws)
        ]
        result.floors = {
            "random_gate": FactorGED(
                torch.stack([guess.costs for guess in guesses]).mean(0),
                guesses[0].matches,
                sum(guess.consistency for guess in guesses) / draws,
            ),
            "single_graph": judge(torch.ones_like(rank)),
        }
    return result


def undirected(
    score: Tensor, truth: Tensor, edge_index: Tensor, batch: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, int]:
    """One row per pair of nodes: mean score, truth, graph; and the number of graphs."""
    edge_index = torch.as_tensor(edge_index).cpu()
    score, truth = score.cpu(), truth.cpu().double()
    for name, value in (("score", score), ("truth", truth)):
        if value.dim() != 2 or value.size(0) != edge_index.size(1):
            raise ValueError(
                f"'{name}' must have a row for each of the {edge_index.size(1)} edges, "
                f"got {list(value.shape)}"
            )
    if score.isnan().any():
        raise ValueError("'score' holds NaN")
    nodes = int(edge_index.max()) + 1 if edge_index.numel() else 0
    batch = torch.zeros(nodes, dtype=torch.long, device="cpu") if batch is None else batch.cpu()
    graphs = int(batch.max()) + 1 if batch.numel() else 1
    keep = edge_index[0] != edge_index[1]
    score, truth = score[keep], truth[keep]
    low, high = edge_index[:, keep].sort(0).values
    key, pair, times = (low * nodes + high).unique(return_inverse=True, return_counts=True)
    forward = torch.zeros_like(times).index_add(0, pair, (edge_index[0, keep] == low).long())
    if ((times != 2) | (forward != 1)).any():
        raise ValueError("'edge_index' must hold both directions of every edge, each once")
    both = truth.new_zeros(key.numel(), truth.size(1)).index_add(0, pair, truth)
    if ((both != 0) & (both != 2)).any():
        raise ValueError("'truth' must be 0 or 1, and the same for both directions of an edge")
    rank = score.new_zeros(key.numel(), score.size(1)).index_add(0, pair, score) / 2
    graph = batch[key // max(nodes, 1)]
    order = graph.argsort(stable=True)
    return rank[order], both[order] / 2, graph[order], graphs


def matched(rank: Tensor, truth: Tensor, jitter: torch.Generator | None) -> FactorGED:
    """Hungarian matching of true ``[B, E, T]`` with learned ``[B, E, K]`` factors."""
    size = truth.sum(1)
    cost = 4.0 * (size.unsqueeze(2) - torch.einsum("bet,betk->btk", truth, kept(rank, size)))
    noise = torch.zeros_like(cost)
    if jitter is not None:
        noise = 1e-6 * torch.rand(cost.shape, generator=jitter, dtype=cost.dtype)
    matches = torch.full(size.shape, -1, device=size.device)
    total = 2.0 * size
    for graph, (exact, tilt) in enumerate(zip(cost.numpy(), (cost + noise).numpy(), strict=True)):
        there = np.flatnonzero(size[graph].numpy())
        rows, columns = linear_sum_assignment(tilt[there])
        matches[graph, there[rows]] = torch.from_numpy(columns)
        total[graph, there[rows]] = torch.from_numpy(exact[there][rows, columns])
    costs = total.sum(1) / (size > 0).sum(1)
    return FactorGED(costs, matches, consistency_score(matches, rank.size(2)))


def kept(rank: Tensor, size: Tensor) -> Tensor:
    """The share of each edge in the ``size`` best-ranked ones, ``[B, E, T, K]``."""
    width = rank.size(1)
    if width == 0:
        return rank.new_zeros(*rank.shape[:2], size.size(1), rank.size(2))
    last = (size.long() - 1).clamp(min=0).unsqueeze(2).expand(-1, -1, rank.size(2))
    threshold = rank.sort(1, descending=True).values.gather(1, last).unsqueeze(1)
    above = (rank.unsqueeze(2) > threshold).double()
    tied = (rank.unsqueeze(2) == threshold).double()
    left = size.unsqueeze(2) - above.sum(1)
    return above + tied * (left / tied.sum(1)).unsqueeze(1)
