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
    max_neighbors: int | None = 1000,
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
    first where cosines are meant.

    Time grows with :math:`N^2 F`, memory with the number of edges; nothing of
    :math:`N \times N` is held. Where features tell identities apart there are about
    :math:`N k_1 k_2` edges. Where they do not, hubs make most pairs share a little: 20,000 random
    vectors have 147 million pairs just below 1. So **each sample keeps its 1000 nearest**, which
    is everything up to 1001 samples and bounds the edges by 2000 :math:`N`; a pair that one end
    keeps has both directions. For all pairs say ``max_neighbors=None``, with a ``max_distance``
    where memory is scarce: a clustering that looks no farther than a radius loses nothing.

    Args:
        x (torch.Tensor): Features, one row for each sample.
        k1 (int, optional): :math:`k_1`. (default: :obj:`20`)
        k2 (int, optional): :math:`k_2`; 1 averages over nobody. (default: :obj:`6`)
        variant (str, optional): ``"paper"`` or ``"released"``. (default: ``"paper"``)
        rows (int, optional): Only edges from the first so many samples, such as queries before
            a gallery. (default: from all)
        max_distance (float, optional): Only edges below it. (default: :obj:`1.0`)
        max_neighbors (int, optional): Of each sample only so many edges, the nearest, and those
            that the other end keeps; of equally near ones at the end it is not said which. With
            ``rows`` only the first holds. :obj:`None` keeps all. (default: :obj:`1000`)

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
    if not 0 < max_distance <= 1:
        raise ValueError(f"'max_distance' must be in (0, 1], got {max_distance}")
    if max_neighbors is not None and max_neighbors < 1:
        raise ValueError(f"'max_neighbors' must be at least 1, got {max_neighbors}")
    features = centred(x.detach())
    count = len(x) if rows is None else min(rows, len(x))
    blocks = distances(neighbourhoods(features, k1, k2, variant), count)
    edges, distance = listed(blocks, (count, len(x)), wide(x).dtype, max_distance, max_neighbors)
    return edges.to(x.device), distance.to(x.device)


def neighbourhoods(features: Tensor, k1: int, k2: int, variant: str) -> sparse.csr_matrix:
    """The averaged encoding of every point's neighbourhood, ``[N, N]`` with few entries."""
    if not len(features):
        return sparse.csr_matrix((0, 0))
    near, largest = nearest(features, max(k1, k2 - 1))
    members = expanded(near, k1, strict=variant == "released")
    values = encoding(features, members, largest if variant == "released" else None)
    if k2 > 1:
        # A mean over the neighbours' rows; fewer points than asked for make a shorter mean.
        averages = lists(near[:, :k2])
        values = (averages.multiply(1.0 / averages.sum(1)).tocsr() @ values).tocsr()
    return values


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

    All distances count, whatever :func:`jaccard_edges` leaves out. In ``variant="released"`` the
    second distance is divided by the query's largest one. Time grows with :math:`(Q + G)^2 F`,
    memory with :math:`Q G`.

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
    check(every, k1, k2, variant)
    features = centred(every.detach())
    plain = torch.cdist(features[: len(query)], features[len(query) :]).square()
    if variant == "released" and len(query):
        # The largest distance is over queries and gallery alike, the query's own zero included.
        within = torch.cdist(features[: len(query)], features[: len(query)]).square()
        plain /= torch.cat([plain, within], 1).amax(1, keepdim=True).clamp(min=1e-12)  # wide
    plain *= weight
    for first, apart in distances(neighbourhoods(features, k1, k2, variant), len(query)):
        across = apart[:, len(query) :].to(plain.device, plain.dtype)
        plain[first : first + len(apart)] += (1 - weight) * across
    return plain.to(wide(every).dtype)


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


def centred(x: Tensor) -> Tensor:
    """Features in double precision around their mean: there distances by products, thirty times
    faster than by differences, are right wherever the features lie."""
    x = x.double()
    return x - x.mean(0)


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
        end = int(np.searchsorted(total, before + CHUNK // 8, side="right"))
        end = min(max(end, first + 1), first + most, rows)
        yield first, end
        first = end


def distances(values: sparse.csr_matrix, rows: int) -> Iterator[tuple[int, Tensor]]:
    """Blocks of Jaccard distances ``[R, N]``, from the first rows to all, and where each begins.

    One minus the sum of minima over the sum of maxima, 1 where no column is shared.
    """
    count, columns = values.shape[0], values.tocsc()
    total = torch.from_numpy(np.asarray(values.sum(1)).ravel())
    starts, lengths = columns.indptr[:-1], np.diff(columns.indptr)
    pattern = sparse.csr_matrix((np.ones(values.nnz), values.indices, values.indptr), values.shape)
    for first, end in blocks(pattern @ lengths, rows, max(CHUNK // max(count, 1) // 4, 1)):
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
        shared = shared.view(-1, count)
        # The larger of two numbers is their sum less the smaller.
        every = total[first:end].unsqueeze(1) + total - shared
        yield first, (1 - shared / every).clamp_(min=0.0)


def listed(
    blocks: Iterator[tuple[int, Tensor]],
    shape: tuple[int, int],
    dtype: torch.dtype,
    max_distance: float,
    max_neighbors: int | None,
) -> tuple[Tensor, Tensor]:
    """Pairs below a distance, of each row the nearest ones, as sorted edges and distances."""
    rows, count = shape
    degree, targets, apart = np.zeros(rows + 1, np.int64), [], []
    cut = False
    for first, block in blocks:
        number = torch.arange(len(block), device=block.device)
        block[number, first + number] = torch.inf
        near = block < max_distance
        if max_neighbors is not None and max_neighbors < count:
            crowded = (near.sum(1) > max_neighbors).nonzero().squeeze(1)
            cut |= bool(len(crowded))
            nearest = block[crowded].topk(max_neighbors, largest=False).indices
            near[crowded] = torch.zeros_like(near[crowded]).scatter_(1, nearest, True)
        degree[first + 1 : first + 1 + len(block)] = near.sum(1).numpy()
        # Narrow while they wait: in the end an edge takes two int64.
        targets.append(near.nonzero()[:, 1].int())
        apart.append(block[near].to(dtype))
    none = torch.empty(0, device="cpu")
    target, distance = torch.cat([none.int(), *targets]), torch.cat([none.to(dtype), *apart])
    del targets, apart
    ends = degree.cumsum()
    if cut and rows == count:
        target, distance, ends = both_ways(target, distance, ends)
    edges = torch.empty(2, len(target), dtype=torch.long, device="cpu")
    edges[0] = torch.from_numpy(np.repeat(np.arange(rows), np.diff(ends)))
    edges[1] = target
    return edges, distance


def both_ways(
    target: Tensor, distance: Tensor, ends: np.ndarray
) -> tuple[Tensor, Tensor, np.ndarray]:
    """Edges of a graph in rows, and those of which only the other end holds one."""
    count = len(ends) - 1
    # A sparse maximum takes what is not there for 0, as a distance may be. The bits of distances,
    # read as whole numbers from 1, keep every value, and need no float64.
    whole = torch.int32 if distance.dtype == torch.float32 else torch.int64
    bits = distance.view(whole).add(1).numpy()
    edges = sparse.csr_matrix((bits, target.numpy(), ends), (count, count))
    back = edges.T.tocsr()
    # In parts, for the sum of both kinds is made room for before it is known what they share.
    step = max(CHUNK // max(count, 1) // 8, 1)
    parts = [edges[i : i + step].maximum(back[i : i + step]) for i in range(0, count, step)]
    del edges, back, bits
    edges = sparse.vstack(parts, format="csr")
    distance = torch.from_numpy(edges.data).sub_(1).view(distance.dtype)
    return torch.from_numpy(edges.indices), distance, edges.indptr
