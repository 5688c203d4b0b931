"""How well missing objects and relations of scene graphs are guessed; how varied guesses are."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit.refusals import refuse_outside

__all__ = [
    "distinct_share",
    "hits_at_k",
    "mean_class_recall",
    "novelty",
    "perplexity",
    "relation_hits",
]


def hits_at_k(scores: Tensor, target: Tensor, k: int) -> Tensor:
    r"""Whether the right category is among the :math:`k` best; the mean is recall at :math:`k`.

    Args:
        scores (torch.Tensor): Scores of all categories.
        target (torch.Tensor): The right ones.
        k (int): How many guesses count; which of several equal ones do is not said.

    Shapes:
        - **input:** scores :math:`(n, C)`, targets :math:`(n)`
        - **output:** :math:`(n)`, booleans

    Raises:
        ValueError: If shapes do not fit, ``k`` or a target is out of range or a score is NaN.

    Example:
        >>> import torch
        >>> from graphkit.metrics import hits_at_k
        >>> hits_at_k(torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]]), torch.tensor([2, 2]), 2)
        tensor([ True, False])
    """
    check(scores, target)
    if not 1 <= k <= scores.size(1):
        raise ValueError(f"'k' must be between 1 and {scores.size(1)}, got {k}")
    return (scores.topk(k).indices == target[:, None]).any(1)


def mean_class_recall(hits: Tensor, target: Tensor) -> float:
    r"""Recall averaged over the categories that occur, so that rare ones count as much.

    Args:
        hits (torch.Tensor): What :func:`hits_at_k` or :func:`relation_hits` gave.
        target (torch.Tensor): The right category of each.

    Shapes:
        - **input:** hits :math:`(n)`, targets :math:`(n)`
        - **output:** a number between 0 and 1

    Raises:
        ValueError: If shapes do not fit or there is nothing to average.

    Example:
        >>> import torch
        >>> from graphkit.metrics import mean_class_recall
        >>> mean_class_recall(torch.tensor([True, True, True, False]), torch.tensor([0, 0, 0, 1]))
        0.5
    """
    if hits.shape != target.shape or hits.dim() != 1 or hits.numel() == 0:
        raise ValueError(
            f"'hits' and 'target' must have the same shape [n], got {list(hits.shape)} and "
            f"{list(target.shape)}"
        )
    count = target.bincount()
    recalled = torch.bincount(target, weights=hits.double())
    return float((recalled[count > 0] / count[count > 0]).mean())


def perplexity(logits: Tensor, target: Tensor) -> float:
    r"""The exponential of the mean negative log-likelihood.

    Args:
        logits (torch.Tensor): Unnormalised log-probabilities of all categories.
        target (torch.Tensor): The right ones.

    Shapes:
        - **input:** logits :math:`(n, C)`, targets :math:`(n)`
        - **output:** a number of at least 1

    Raises:
        ValueError: If shapes do not fit, a target is out of range or a logit is NaN.

    Example:
        >>> import torch
        >>> from graphkit.metrics import perplexity
        >>> round(perplexity(torch.zeros(3, 8), torch.tensor([1, 2, 3])), 4)
        8.0
    """
    check(logits, target)
    return float(F.cross_entropy(logits.double(), target).exp())


def relation_hits(scores: Tensor, links: Tensor, batch: Tensor, num_graphs: int, k: int) -> Tensor:
    r"""Whether each relation of a new object is among the :math:`k` best guesses of its graph.

    Every pair of an object and a predicate, in both directions, is one guess, so a graph of
    :math:`n` objects has :math:`2 n P` of them. Memory grows with :math:`B \cdot n_{max} P`.

    Args:
        scores (torch.Tensor): Scores of all guesses; "none" is left out.
        links (torch.Tensor): The relations that are there, as in
            :class:`~graphkit.datasets.KnockOut`.
        batch (torch.Tensor): The graph of each object, ascending.
        num_graphs (int): Number of graphs.
        k (int): How many guesses count.

    Shapes:
        - **input:** scores :math:`(N, 2, P)`, links :math:`(3, L)`, graphs :math:`(N)`
        - **output:** :math:`(L)`, booleans

    Raises:
        ValueError: If shapes do not fit, a link or graph is out of range, ``k`` is not positive or
            a score is NaN.

    Example:
        >>> import torch
        >>> from graphkit.metrics import relation_hits
        >>> scores = torch.tensor([[[0.9, 0.1], [0.2, 0.3]], [[0.4, 0.8], [0.1, 0.1]]])
        >>> links = torch.tensor([[0, 1], [0, 0], [0, 0]])
        >>> relation_hits(scores, links, torch.tensor([0, 0]), 1, k=2)
        tensor([ True, False])
    """
    if scores.dim() != 3 or scores.size(1) != 2 or scores.size(0) != batch.numel():
        raise ValueError(
            f"'scores' must have shape [{batch.numel()}, 2, P], got {list(scores.shape)}"
        )
    if links.dim() != 2 or links.size(0) != 3:
        raise ValueError(f"'links' must have shape [3, L], got {list(links.shape)}")
    refuse_outside("batch", batch, num_graphs)
    refuse_outside("links", links[0], scores.size(0))
    refuse_outside("links", links[1], scores.size(1))
    refuse_outside("links", links[2], scores.size(2))
    if k < 1 or scores.isnan().any():
        raise ValueError(f"'k' must be positive and no score NaN, got k={k}")
    sizes = torch.bincount(batch, minlength=num_graphs)
    first = sizes.cumsum(0) - sizes
    width, most = scores.size(1) * scores.size(2), int(sizes.max()) if sizes.numel() else 0
    place = torch.arange(batch.numel(), device=batch.device) - first[batch]
    guesses = scores.new_full((num_graphs, most, width), -torch.inf)
    guesses[batch, place] = scores.flatten(1)
    best = guesses.flatten(1).topk(min(k, most * width)).indices
    old, direction, predicate = links
    wanted = place[old] * width + direction * scores.size(2) + predicate
    return (best[batch[old]] == wanted[:, None]).any(1)


def distinct_share(rows: Tensor) -> float:
    r"""The share of different rows: distinct-n of generated categories or triples.

    Args:
        rows (torch.Tensor): One generated category or triple per row.

    Shapes:
        - **input:** :math:`(n)` or :math:`(n, m)`
        - **output:** a number between 0 and 1

    Raises:
        ValueError: If there is no row.

    Example:
        >>> import torch
        >>> from graphkit.metrics import distinct_share
        >>> distinct_share(torch.tensor([[0, 1, 2], [0, 1, 2], [2, 1, 0], [0, 0, 0]]))
        0.75
    """
    if rows.size(0) == 0:
        raise ValueError("'rows' holds nothing")
    return rows.unique(dim=0).size(0) / rows.size(0)


def novelty(rows: Tensor, known: Tensor) -> float:
    r"""The share of rows that are not among known ones, such as the training set's.

    Args:
        rows (torch.Tensor): Generated triples of categories and predicate.
        known (torch.Tensor): Known ones.

    Shapes:
        - **input:** :math:`(n, m)` and :math:`(k, m)`
        - **output:** a number between 0 and 1

    Raises:
        ValueError: If there is no row.

    Example:
        >>> import torch
        >>> from graphkit.metrics import novelty
        >>> novelty(torch.tensor([[0, 1], [5, 5]]), torch.tensor([[0, 1], [2, 3]]))
        0.5
    """
    if rows.size(0) == 0:
        raise ValueError("'rows' holds nothing")
    both, number = torch.cat([known, rows]).unique(dim=0, return_inverse=True)
    seen = torch.zeros(both.size(0), dtype=torch.bool, device=rows.device)
    seen[number[: known.size(0)]] = True
    return float((~seen[number[known.size(0) :]]).float().mean())


def check(scores: Tensor, target: Tensor) -> None:
    """Raises unless there is a row of finite or infinite scores for every target."""
    if scores.dim() != 2 or target.shape != scores.shape[:1] or target.numel() == 0:
        raise ValueError(
            f"'scores' must have shape [n, C] and 'target' [n], got {list(scores.shape)} and "
            f"{list(target.shape)}"
        )
    refuse_outside("target", target, scores.size(1))
    if scores.isnan().any():
        raise ValueError("'scores' holds NaN")
