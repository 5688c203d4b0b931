"""Who is among whose nearest, and back: the Jaccard distance of neighbourhoods, sparse."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from graphkit.catalog import method
from graphkit.precision import wide

__all__ = ["jaccard_edges", "rerank"]

CHUNK = 1 << 24
"""Numbers in the largest block that is held at a time."""


@method(
    paper="arXiv:1701.08398",
    title="Re-ranking Person Re-identification with k-reciprocal Encoding",
    authors="Zhun Zhong, Liang Zheng, Donglin Cao, Shaozi Li",
    venue="CVPR 2017",
    year=2017,
    code="https://github.com/zhunzhong07/person-re-ranking",
    licence="none",
    takes="features",
    gives="edges between samples whose k-reciprocal neighbourhoods meet, and how little they share",
    deviations=[
        "a point belongs to its own neighbourhoods, as in the released program; the paper has "
        "probes that are not in the gallery",
        "variant='released' divides distances by the largest of the row, scales rows to sum 1 and "
        "asks for more than two thirds where the paper asks for two thirds",
        "sparse and in blocks; both programs that are public hold N x N matrices",
    ],
    verified_by="tests/vision/reid/test_k_reciprocal.py",
)
def jaccard_edges(
    x: Tensor,
    k1: int = 20,
    k2: int = 6,
    variant: str = "paper",
    rows: int | None = None,
    max_distance: float = 1.0,
) -> tuple[Tensor, Tensor]:
    r"""The Jaccard distance of k-reciprocal neighbourhoods, of the `"Re-ranking Person
    Re-identification with k-reciprocal Encoding" <https://arxiv.org/abs/1701.08398>`_ paper, as
    the edges of a graph: pairs that share nothing have distance 1 and no edge.

    .. math::
        \mathcal{R}(p, k) &= \{ g \in N(p, k) : p \in N(g, k) \} \\
        \mathcal{R}^*(p) &= \mathcal{R}(p, k_1) \cup \bigcup_{q \in \mathcal{R}(p, k_1)}
        \{ \mathcal{R}(q, k_1 / 2) : |\mathcal{R}(p, k_1) \cap \mathcal{R}(q, k_1 / 2)| \ge
        \tfrac{2}{3} |\mathcal{R}(q, k_1 / 2)| \} \\
        V_{pg} &= [\, g \in \mathcal{R}^*(p) \,]\, e^{-\lVert x_p - x_g \rVert^2}, \qquad
        \bar V_p = \frac{1}{k_2} \sum_{g \in N(p, k_2 - 1)} V_g, \qquad
        d_J(p, q) = 1 - \frac{\sum_g \min(\bar V_{pg}, \bar V_{qg})}
        {\sum_g \max(\bar V_{pg}, \bar V_{qg})}

    :math:`N(p, k)` holds :math:`p` and its :math:`k` nearest others; of equally near ones at the
    end of the list it is not said which are in. Features are taken as they are: normalise them
    first where cosines are meant. Time grows with :math:`N^2 F`, memory with the number of edges,
    about :math:`N k_1 k_2`; nothing of :math:`N \times N` is held.

    Args:
        x (torch.Tensor): Features, one row for each sample.
        k1 (int, optional): :math:`k_1`. (default: :obj:`20`)
        k2 (int, optional): :math:`k_2`; 1 averages over nobody. (default: :obj:`6`)
        variant (str, optional): ``"paper"`` or ``"released"``. (default: ``"paper"``)
        rows (int, optional): Only edges from the first so many samples, such as queries before
            a gallery. (default: from all)
        max_distance (float, optional): Only edges below it. Where features tell nobody apart,
            hubs make most pairs share a little: 20,000 random vectors have 147 million edges
            below 1 and few below 0.9. (default: :obj:`1.0`)

    Shapes:
        - **input:** :math:`(N, F)`
        - **output:** edges :math:`(2, E)`, sorted, both directions, without self loops, and
          distances :math:`(E)` in [0, 1)

    Raises:
        ValueError: If shapes or options are wrong, or values are not finite.

    Example:
        >>> import torch
        >>> x = torch.tensor([[0.0], [0.1], [5.0], [5.1]])
        >>> edges, distance = jaccard_edges(x, k1=1, k2=1)
        >>> edges
        tensor([[0, 1, 2, 3],
                [1, 0, 3, 2]])
        >>> bool((distance < 0.02).all())
        True
    """
    check(x, k1, k2, variant)
    features = wide(x.detach())
    if not len(x):
        return torch.empty(2, 0, dtype=torch.long, device=x.device), features.new_empty(0)
    near, largest = nearest(features, max(k1, k2 - 1))
    members = expanded(near, k1, strict=variant == "released")
    values = encoding(features, members, largest if variant == "released" else None)
    if k2 > 1:
        # A mean over the neighbours' rows; fewer points than asked for make a shorter mean.
        averages = lists(near[:, :k2])
        values = (averages.multiply(1.0 / averages.sum(1)).tocsr() @ values).tocsr()
    edges, distance = overlaps(values, len(x) if rows is None else min(rows, len(x)), max_distance)
    return edges.to(x.device), distance.to(x.device, features.dtype)


def rerank(
    query: Tensor,
    gallery: Tensor,
    k1: int = 20,
    k2: int = 6,
    weight: float = 0.3,
    variant: str = "paper",
) -> Tensor:
    r"""Distances of queries and gallery after re-ranking, as :func:`jaccard_edges` says.

    .. math::
        d^*(p, g) = (1 - \lambda)\, d_J(p, g) + \lambda \lVert x_p - x_g \rVert^2

    In ``variant="released"`` the second distance is divided by the query's largest one. Time grows
    with :math:`(Q + G)^2 F`, memory with :math:`Q G`.

    Args:
        query, gallery (torch.Tensor): Features.
        k1, k2 (int, optional): As in :func:`jaccard_edges`. (default: 20 and 6)
        weight (float, optional): :math:`\lambda`. (default: :obj:`0.3`)
        variant (str, optional): ``"paper"`` or ``"released"``. (default: ``"paper"``)

    Shapes:
        - **input:** :math:`(Q, F)` and :math:`(G, F)`
        - **output:** :math:`(Q, G)`

    Raises:
        ValueError: If shapes or options are wrong, or values are not finite.

    Example:
        >>> import torch
        >>> query, gallery = torch.tensor([[0.0]]), torch.tensor([[9.0], [0.1], [9.1]])
        >>> rerank(query, gallery, k1=1, k2=1).argmin(1)
        tensor([1])
    """
    if not 0 <= weight <= 1:
        raise ValueError(f"'weight' must be in [0, 1], got {weight}")
    if query.dim() != 2 or gallery.dim() != 2 or query.size(1) != gallery.size(1):
        raise ValueError(
            f"'query' and 'gallery' must be [Q, F] and [G, F], got {list(query.shape)} and "
            f"{list(gallery.shape)}"
        )
    every = torch.cat([query, gallery])
    edges, distance = jaccard_edges(every, k1, k2, variant, rows=len(query))
    features = wide(every.detach())
    plain = torch.cdist(features[: len(query)], features[len(query) :]).square()
    if variant == "released" and len(query):
        # The largest distance is over queries and gallery alike, the query's own zero included.
        within = torch.cdist(features[: len(query)], features[: len(query)]).square()
        plain /= torch.cat([plain, within], 1).amax(1, keepdim=True).clamp(min=1e-12)  # wide
    jaccard = torch.ones_like(plain)
    across = edges[1] >= len(query)
    jaccard[edges[0, across], edges[1, across] - len(query)] = distance[across]
    return (1 - weight) * jaccard + weight * plain


def check(x: Tensor, k1: int, k2: int, variant: str) -> None:
    """Refuses by name what makes no sense."""
    if x.dim() != 2 or not x.is_floating_point():
        raise ValueError(f"'x' must hold floats [N, F], got {x.dtype} {list(x.shape)}")
    if not x.isfinite().all():
        raise ValueError("'x' holds NaN or infinite values")
    for name, value in (("k1", k1), ("k2", k2)):
        if value < 1:
            raise ValueError(f"'{name}' must be at least 1, got {value}")
    if variant not in ("paper", "released"):
        raise ValueError(f"'variant' must be 'paper' or 'released', got {variant!r}")


def nearest(x: Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Every point, then its nearest others ``[N, k + 1]``, and its largest squared distance."""
    count = len(x)
    near, largest = [], []
    for rows in torch.arange(count, device=x.device).split(max(CHUNK // count, 1)):
        distance = torch.cdist(x[rows], x)
        largest.append(distance.amax(1).square())
        # Below every distance, so that duplicates do not take a point's own place.
        distance[torch.arange(len(rows), device=x.device), rows] = -1.0
        order = distance.topk(min(k + 1, count), largest=False).indices
        near.append(order)
    return torch.cat(near).cpu().numpy(), torch.cat(largest).cpu().double().numpy()


def lists(near: np.ndarray) -> sparse.csr_matrix:
    """Lists of neighbours as a matrix of ones."""
    count, width = near.shape
    ends = np.arange(count + 1) * width
    return sparse.csr_matrix((np.ones(near.size), near.reshape(-1), ends), shape=(count, count))


def expanded(near: np.ndarray, k1: int, strict: bool) -> sparse.csr_matrix:
    """The members of every point's k-reciprocal neighbourhood, widened by those of its members."""

    def reciprocal(k: int) -> sparse.csr_matrix:
        forward = lists(near[:, : k + 1])
        return forward.multiply(forward.T).tocsr()

    whole, half = reciprocal(k1), reciprocal(int(np.around(k1 / 2)))
    size = np.asarray(half.sum(1)).ravel()
    # How much of each member's smaller neighbourhood lies in that of the point.
    shared = whole.multiply(whole @ half.T).tocsr()
    needed = 2 / 3 * size[shared.indices]
    # Sizes are whole numbers: a little room keeps two of three from failing by rounding.
    room = 1e-9
    joins = shared.data > needed + room if strict else shared.data >= needed - room
    joined = sparse.csr_matrix((joins.astype(float), shared.indices, shared.indptr), whole.shape)
    members = (whole + joined @ half).tocsr()
    members.eliminate_zeros()
    members.sort_indices()
    return members


def encoding(
    x: Tensor, members: sparse.csr_matrix, largest: np.ndarray | None
) -> sparse.csr_matrix:
    """What a point's neighbourhood holds, by nearness; of sum 1 where ``largest`` is given."""
    start = torch.from_numpy(np.repeat(np.arange(len(x)), np.diff(members.indptr)))
    end = torch.from_numpy(members.indices.astype(np.int64))
    width = max(CHUNK // max(x.size(1), 1), 1)
    parts = [
        (x[a.to(x.device)] - x[b.to(x.device)]).square().sum(1).cpu().double()
        for a, b in zip(start.split(width), end.split(width), strict=True)
    ]
    distance = torch.cat(parts).numpy()
    if largest is not None:
        distance = distance / np.maximum(largest, 1e-12)[start.numpy()]
    values = sparse.csr_matrix((np.exp(-distance), members.indices, members.indptr), members.shape)
    if largest is not None:
        values = values.multiply(1.0 / values.sum(1)).tocsr()
    return values


def blocks(cost: np.ndarray, rows: int, most: int) -> Iterator[tuple[int, int]]:
    """Parts of the rows, of so many at most and of bounded cost where a single row allows it."""
    total, first = np.cumsum(cost), 0
    while first < rows:
        before = total[first - 1] if first else 0.0
        end = int(np.searchsorted(total, before + CHUNK // 4, side="right"))
        end = min(max(end, first + 1), first + most, rows)
        yield first, end
        first = end


def overlaps(values: sparse.csr_matrix, rows: int, max_distance: float) -> tuple[Tensor, Tensor]:
    """Pairs of rows that share columns, and 1 - the sum of minima over the sum of maxima."""
    count, columns = values.shape[0], values.tocsc()
    total = torch.from_numpy(np.asarray(values.sum(1)).ravel())
    starts, lengths = columns.indptr[:-1], np.diff(columns.indptr)
    edges, distances = (
        [torch.empty(2, 0, dtype=torch.long, device=total.device)],
        [total.new_empty(0)],
    )
    pattern = sparse.csr_matrix((np.ones(values.nnz), values.indices, values.indptr), values.shape)
    for first, end in blocks(pattern @ lengths, rows, max(CHUNK // count // 4, 1)):
        block = values[first:end]
        # Every entry of the block meets all entries of its column.
        meets = lengths[block.indices]
        entry = np.repeat(np.arange(block.nnz), meets)
        before = np.repeat(np.cumsum(meets) - meets, meets)
        place = starts[block.indices[entry]] + np.arange(len(entry)) - before
        least = torch.from_numpy(np.minimum(block.data[entry], columns.data[place]))
        row = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
        where = torch.from_numpy(row[entry] * count + columns.indices[place].astype(np.int64))
        shared = total.new_zeros(block.shape[0] * count).index_add_(0, where, least)
        pairs = shared.nonzero().squeeze(1)
        source, target = pairs // count + first, pairs % count
        both = shared[pairs]
        apart = (1 - both / (total[source] + total[target] - both)).clamp(min=0.0)
        near = (source != target) & (apart < max_distance)
        edges.append(torch.stack([source[near], target[near]]))
        distances.append(apart[near])
    return torch.cat(edges, 1), torch.cat(distances)
