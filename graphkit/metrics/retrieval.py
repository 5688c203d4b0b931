"""How well a gallery is ordered for every query: mean average precision and cumulative matches."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["RetrievalScores", "retrieval_scores"]

CHUNK = 1 << 23


class RetrievalScores(NamedTuple):
    """The result of :func:`retrieval_scores`.

    Args:
        map (float): Mean average precision.
        cmc (torch.Tensor): The share of queries with a match among the first 1, 2, ….
        queries (int): Queries that have a match in the gallery; the others do not count.
    """

    map: float
    cmc: Tensor
    queries: int


def retrieval_scores(
    distance: Tensor,
    query: Tensor,
    gallery: Tensor,
    query_camera: Tensor | None = None,
    gallery_camera: Tensor | None = None,
    max_rank: int = 10,
) -> RetrievalScores:
    r"""Mean average precision and the cumulative matching characteristic, by the protocol of the
    `"Scalable Person Re-identification: A Benchmark"
    <https://doi.org/10.1109/ICCV.2015.133>`_ paper.

    .. math::
        \mathrm{mAP} = \frac{1}{Q} \sum_q \frac{1}{M_q} \sum_{r \in \text{matches}}
        \frac{\text{matches up to } r}{r}, \qquad
        \mathrm{CMC}_k = \frac{1}{Q} \sum_q [\, \text{a match is among the first } k \,]

    What the query's own camera saw of the query's identity is left out of the gallery, and so is
    identity -1, junk; without cameras nothing else is. Ties do not depend on the order of the
    gallery: equally distant candidates enter precision together, and CMC is the expectation over
    their orders. So a network that gives the same embedding to all images does not pass for a good
    one. Released programs of person re-identification take ties as they come. Time grows with
    :math:`Q G \log G`; sorting takes the queries in blocks.

    Args:
        distance (torch.Tensor): Distances of queries and gallery; less is nearer.
        query, gallery (torch.Tensor): Identities.
        query_camera, gallery_camera (torch.Tensor, optional): Cameras; both or none.
        max_rank (int, optional): How far CMC goes. (default: :obj:`10`)

    Shapes:
        - **input:** :math:`(Q, G)`, identities and cameras :math:`(Q)` and :math:`(G)`
        - **output:** ``cmc`` :math:`(K)` with :math:`K` the least of ``max_rank`` and :math:`G`

    Raises:
        ValueError: If shapes do not fit, queries or gallery are empty, a distance is NaN, or no
            query has a match.

    Example:
        >>> import torch
        >>> distance = torch.tensor([[0.1, 0.2, 0.3]])
        >>> scores = retrieval_scores(distance, torch.tensor([7]), torch.tensor([7, 3, 7]))
        >>> round(scores.map, 4), scores.cmc.tolist()
        (0.8333, [1.0, 1.0, 1.0])
    """
    check(distance, query, gallery, query_camera, gallery_camera, max_rank)
    precisions, first_matches = [], []
    for rows in torch.arange(len(query), device=distance.device).split(
        max(CHUNK // len(gallery), 1)
    ):
        hit = query[rows].unsqueeze(1) == gallery
        valid = (gallery != -1).expand_as(hit)
        if query_camera is not None and gallery_camera is not None:
            valid = valid & ~(hit & (query_camera[rows].unsqueeze(1) == gallery_camera))
        # Queries without a match have no average precision.
        some = (hit & valid).any(1)
        part = judge(distance[rows][some], (hit & valid)[some], valid[some], max_rank)
        precisions.append(part[0])
        first_matches.append(part[1])
    precision = torch.cat(precisions)
    if not len(precision):
        raise ValueError(
            "no query has a match in the gallery that another camera saw; with one camera leave "
            "the cameras out, and leave the query itself out of the gallery"
        )
    cmc = torch.cat(first_matches).mean(0)
    return RetrievalScores(float(precision.mean()), cmc.float(), len(precision))


def check(
    distance: Tensor,
    query: Tensor,
    gallery: Tensor,
    query_camera: Tensor | None,
    gallery_camera: Tensor | None,
    max_rank: int,
) -> None:
    """Refuses by name what does not fit."""
    if distance.dim() != 2 or distance.size(0) == 0 or distance.size(1) == 0:
        raise ValueError(
            f"'distance' must be [Q, G], with queries and a gallery, got {list(distance.shape)}"
        )
    if (query_camera is None) != (gallery_camera is None):
        raise ValueError("'query_camera' and 'gallery_camera' go together; one of them is missing")
    for name, value, size in (
        ("query", query, distance.size(0)),
        ("gallery", gallery, distance.size(1)),
        ("query_camera", query_camera, distance.size(0)),
        ("gallery_camera", gallery_camera, distance.size(1)),
    ):
        if value is not None and value.shape != (size,):
            raise ValueError(
                f"'{name}' has shape {list(value.shape)} for 'distance' {list(distance.shape)}"
            )
    if distance.isnan().any():
        raise ValueError("'distance' holds NaN")
    if max_rank < 1:
        raise ValueError(f"'max_rank' must be at least 1, got {max_rank}")


def judge(distance: Tensor, hit: Tensor, valid: Tensor, max_rank: int) -> tuple[Tensor, Tensor]:
    """Average precision, and the chance of a match among the first, for every query."""
    ordered, order = distance.double().masked_fill(~valid, torch.inf).sort(1)
    hits, seen = hit.gather(1, order).cumsum(1), valid.gather(1, order).cumsum(1)
    # The last place of what is equally distant, for what stands at each place.
    last = torch.searchsorted(ordered, ordered, right=True) - 1
    precision = hits.gather(1, last) / seen.gather(1, last).clamp(min=1)
    is_hit = hit.gather(1, order)
    average = (precision * is_hit).sum(1) / is_hit.sum(1)
    # The first match ties with others: places before them, how many they are, misses among them.
    place = is_hit.float().argmax(1, keepdim=True)
    start = torch.searchsorted(ordered, ordered.gather(1, place))
    end = last.gather(1, place)
    before = seen.gather(1, start) - valid.gather(1, order).gather(1, start).long()
    tied = seen.gather(1, end) - before
    misses = tied - hits.gather(1, end)
    ranks = torch.arange(1, min(max_rank, distance.size(1)) + 1, device=distance.device)
    drawn = (ranks - before).clamp(min=0)
    # All that is drawn of the tied ones are misses with probability C(m, r) / C(t, r).
    drawn = torch.minimum(drawn, tied)
    none = torch.exp(log_choose(misses, drawn) - log_choose(tied, drawn))
    return average, 1.0 - none * (drawn <= misses)


def log_choose(count: Tensor, drawn: Tensor) -> Tensor:
    """The logarithm of a binomial coefficient, 0 where more are drawn than there are."""
    n, k = torch.broadcast_tensors(count.double(), drawn.double())
    k = torch.minimum(k, n)
    return torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
