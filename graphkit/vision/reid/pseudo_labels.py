"""Labels from clusterings: what is near becomes a class, and keeps its number."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from graphkit.catalog import no_method
from graphkit.precision import normalize
from graphkit.vision.reid.k_reciprocal import jaccard_edges

__all__ = ["CentroidHead", "DensityClusters", "MeansClusters", "density_radius", "match_labels"]


def density_radius(distance: Tensor, count: int, share: float = 1.6e-3) -> float:
    r"""The mean of the smallest distances, a share of all pairs, as a radius for DBSCAN.

    Pairs at distance 0 are left out, as in the programs of re-identification, so that duplicates
    do not make the radius 0; where edges are too few, the rest of the share counts as 1. The share
    should be near that of pairs of one identity: :math:`1 / \text{identities}` at most.

    Args:
        distance (torch.Tensor): Distances of the edges, both directions, as
            :func:`~graphkit.vision.jaccard_edges` gives them.
        count (int): Samples.
        share (float, optional): The share of the pairs. (default: :obj:`1.6e-3`)

    Raises:
        ValueError: If ``share`` is not in (0, 1].

    Example:
        >>> import torch
        >>> density_radius(torch.tensor([0.25, 0.25, 0.5, 0.5]), count=4, share=1 / 3)
        0.375
    """
    if not 0 < share <= 1:
        raise ValueError(f"'share' must be in (0, 1], got {share}")
    # Equal neighbourhoods are at distance 0 but for rounding.
    apart = distance > 1e-6
    above = distance[apart].double().sort().values[::2]
    pairs = count * (count - 1) // 2 - int((~apart).sum()) // 2
    wanted = max(round(share * pairs), 1)
    nearest = above[:wanted]
    return (float(nearest.sum()) + max(wanted - len(nearest), 0)) / wanted


@no_method("scikit-learn's DBSCAN on the k-reciprocal graph")
class DensityClusters:
    r"""DBSCAN on Jaccard distances of k-reciprocal neighbourhoods; what is in no cluster gets -1.

    The radius is found at the first call by :func:`density_radius` and stays. Time and memory are
    those of :func:`~graphkit.vision.jaccard_edges`: scikit-learn takes the sparse distances.
    Pairs at a distance of ``reach`` or more, or, once it is known, beyond the radius, are never
    neighbours, and need no memory. Nearer ones all count, however many they are.

    Args:
        eps (float, optional): The radius. (default: by the rule)
        share (float, optional): Of the rule. (default: :obj:`1.6e-3`)
        min_samples (int, optional): Neighbours of a core point, itself included.
            (default: :obj:`4`)
        k1, k2, variant (optional): As in :func:`~graphkit.vision.jaccard_edges`.
        reach (float, optional): Least distance of strangers. (default: :obj:`0.9`)

    Raises:
        ValueError: If an option is out of range.

    Example:
        >>> import torch
        >>> from graphkit.vision import DensityClusters
        >>> x = torch.cat([torch.zeros(9, 2), torch.ones(9, 2)]) + 0.01 * torch.rand(18, 2)
        >>> DensityClusters(eps=0.5, k1=6)(x).unique().tolist()
        [0, 1]
    """

    def __init__(
        self,
        eps: float | None = None,
        share: float = 1.6e-3,
        min_samples: int = 4,
        k1: int = 20,
        k2: int = 6,
        variant: str = "paper",
        reach: float = 0.9,
    ) -> None:
        if not 0 < reach <= 1:
            raise ValueError(f"'reach' must be in (0, 1], got {reach}")
        if eps is not None and not 0 < eps < reach:
            raise ValueError(f"'eps' must be positive and below 'reach' {reach}, got {eps}")
        if min_samples < 1:
            raise ValueError(f"'min_samples' must be at least 1, got {min_samples}")
        self.eps, self.share, self.min_samples = eps, share, min_samples
        self.k1, self.k2, self.variant, self.reach = k1, k2, variant, reach

    def __call__(self, x: Tensor) -> Tensor:
        """The label of every row of features."""
        from scipy.sparse import csr_matrix
        from sklearn.cluster import DBSCAN

        # A pair at the radius itself is inside, also where float32 rounds it up.
        reach = self.reach if self.eps is None else min(self.reach, 1.00001 * self.eps)
        edges, distance = jaccard_edges(
            x, self.k1, self.k2, self.variant, max_distance=reach, max_neighbors=None
        )
        if self.eps is None:
            # Between nothing and what was kept: a radius of 0 is none, and beyond nobody is known.
            radius = density_radius(distance, len(x), self.share)
            self.eps = min(max(radius, 1e-6), 0.999 * self.reach)
        if len(x) == 0:
            return torch.empty(0, dtype=torch.long, device=x.device)
        # A stored zero on the diagonal: every point is its own neighbour.
        itself = np.arange(len(x))
        source, target = (np.concatenate([side, itself]) for side in edges.cpu().numpy())
        values = np.concatenate([distance.cpu().double().numpy(), np.zeros(len(x))])
        matrix = csr_matrix((values, (source, target)), shape=(len(x), len(x)))
        clustering = DBSCAN(eps=self.eps, min_samples=self.min_samples, metric="precomputed").fit(
            matrix
        )
        return torch.from_numpy(clustering.labels_).long().to(x.device)


@no_method("scikit-learn's k-means on unit vectors")
class MeansClusters:
    r"""k-means of normalised features: every sample is in one of :math:`K` clusters.

    Time grows with :math:`N K F`.

    Args:
        count (int): :math:`K`.
        seed (int, optional): Of the starts. (default: :obj:`0`)
        starts (int, optional): Of them the best is taken. (default: :obj:`5`)

    Raises:
        ValueError: If there are fewer samples than clusters.

    Example:
        >>> import torch
        >>> from graphkit.vision import MeansClusters
        >>> labels = MeansClusters(2)(torch.eye(2)[[0, 0, 1]])
        >>> bool(labels[0] == labels[1] != labels[2])
        True
    """

    def __init__(self, count: int, seed: int = 0, starts: int = 5) -> None:
        if count < 1:
            raise ValueError(f"'count' must be at least 1, got {count}")
        self.count, self.seed, self.starts = count, seed, starts

    def __call__(self, x: Tensor) -> Tensor:
        """The label of every row of features."""
        from sklearn.cluster import KMeans

        if len(x) < self.count:
            raise ValueError(f"'x' has {len(x)} rows for {self.count} clusters")
        unit = normalize(x.detach().float(), dim=1).cpu().numpy()
        clustering = KMeans(self.count, n_init=self.starts, random_state=self.seed).fit(unit)
        return torch.from_numpy(clustering.labels_).long().to(x.device)


def match_labels(previous: Tensor, current: Tensor, capacity: int) -> Tensor:
    r"""Numbers the clusters of the same samples like the earlier ones they share most with.

    .. math::
        \max_\pi \sum_k |\{ i : y'_i = \pi(k),\; y_i = k \}|

    by the Hungarian method. Clusters without a counterpart get the lowest free numbers, in the
    order in which their samples appear, so the result does not depend on the given numbers.
    Time grows with the cube of the number of clusters.

    Args:
        previous (torch.Tensor): Earlier labels; -1 is in no cluster.
        current (torch.Tensor): Labels to be renumbered; -1 stays.
        capacity (int): Numbers there are.

    Shapes:
        - **input:** both :math:`(N)`
        - **output:** :math:`(N)`, below the capacity

    Raises:
        ValueError: If lengths differ or there are more clusters than numbers.

    Example:
        >>> import torch
        >>> match_labels(torch.tensor([0, 0, 1, 1]), torch.tensor([5, 5, 2, 9]), capacity=4)
        tensor([0, 0, 1, 2])
    """
    from scipy.optimize import linear_sum_assignment

    if previous.shape != current.shape or current.dim() != 1:
        raise ValueError(
            f"'previous' and 'current' must be labels [N], got {list(previous.shape)} and "
            f"{list(current.shape)}"
        )
    names, place = by_appearance(current)
    if len(names) > capacity:
        raise ValueError(
            f"there are {len(names)} clusters and room for {capacity}; raise 'max_clusters', or "
            "the radius of the clustering"
        )
    both = (previous >= 0) & (place >= 0)
    height = int(previous.max().clamp(min=0)) + 1 if len(previous) else 1
    table = torch.zeros(height, len(names), dtype=torch.long, device="cpu")
    ones = torch.ones(int(both.sum()), dtype=torch.long, device="cpu")
    table.index_put_((previous[both].cpu(), place[both].cpu()), ones, accumulate=True)
    old, new = linear_sum_assignment(table.numpy(), maximize=True)
    numbers = torch.full((len(names),), -1, device="cpu")
    shared = table[old, new] > 0
    numbers[torch.from_numpy(new)[shared]] = torch.from_numpy(old)[shared]
    free = torch.ones(max(capacity, height), dtype=torch.bool, device="cpu")
    free[numbers[numbers >= 0]] = False
    numbers[numbers < 0] = free.nonzero().squeeze(1)[: int((numbers < 0).sum())]
    result = torch.full_like(current, -1)
    result[place >= 0] = numbers.to(current.device)[place[place >= 0]]
    return result


def by_appearance(label: Tensor) -> tuple[Tensor, Tensor]:
    """The clusters in the order of their first samples, and each sample's place among them."""
    names, place = label.unique(return_inverse=True)
    first = torch.full((len(names),), len(label), device=label.device)
    first = first.scatter_reduce(0, place, torch.arange(len(label), device=label.device), "amin")
    first = first.masked_fill(names < 0, len(label) + 1)
    order = first.argsort()
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=label.device)
    place = rank[place].masked_fill(label < 0, -1)
    return names[order][names[order] >= 0], place


@no_method("the classifier of clusters, no method of its own")
class CentroidHead(nn.Module):
    r"""A classifier whose classes are clusters: a row for each number a cluster may have.

    .. math::
        z_k = f^\top w_k \quad \text{or} \quad z_k = \tau \cos(f, w_k), \qquad
        z_k = -\infty \text{ where no cluster has the number}

    The number of rows stays when the number of clusters changes, so that a run that was killed in
    the middle of a round can be resumed.

    Args:
        channels (int): Width of the embeddings.
        max_clusters (int): Rows.
        scale (float, optional): :math:`\tau`; :obj:`None` takes plain products.
            (default: :obj:`None`)

    Shapes:
        - **input:** :math:`(B, F)`
        - **output:** :math:`(B, K)`

    Raises:
        ValueError: If a size is below 1, or the scale not positive.

    Example:
        >>> import torch
        >>> from graphkit.vision import CentroidHead
        >>> head = CentroidHead(2, max_clusters=3)
        >>> head.restart(torch.eye(2), torch.tensor([0, 2]))
        >>> head(torch.tensor([[3.0, 0.0]])).tolist()
        [[3.0, -inf, 0.0]]
    """

    active: Tensor

    def __init__(self, channels: int, max_clusters: int, scale: float | None = None) -> None:
        super().__init__()
        if min(channels, max_clusters) < 1:
            raise ValueError(
                f"'channels' and 'max_clusters' must be at least 1, got {channels} and "
                f"{max_clusters}"
            )
        if scale is not None and not scale > 0:
            raise ValueError(f"'scale' must be positive, got {scale}")
        self.scale = scale
        self.weight = nn.Parameter(torch.empty(max_clusters, channels))
        self.register_buffer("active", torch.zeros(max_clusters, dtype=torch.bool))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Random rows, none of them in use."""
        nn.init.normal_(self.weight, std=1 / math.sqrt(self.weight.size(1)))
        self.active.zero_()

    def open(self, count: int) -> None:
        """Takes the first rows into use as they are, as for classes that have labels."""
        if not 1 <= count <= len(self.active):
            raise ValueError(f"'count' must be in 1 … {len(self.active)}, got {count}")
        self.active.copy_(torch.arange(len(self.active), device=self.active.device) < count)

    @torch.no_grad()
    def restart(self, features: Tensor, label: Tensor) -> None:
        """Rows become the unit centroids of their clusters.

        Args:
            features (torch.Tensor): Embeddings of all samples.
            label (torch.Tensor): Their clusters; -1 for none.
        """
        rows = label >= 0
        total = torch.zeros_like(self.weight)
        total.index_add_(0, label[rows], features[rows].to(total))
        self.active.zero_()
        self.active[label[rows]] = True
        self.weight.copy_(
            torch.where(self.active.unsqueeze(1), normalize(total, dim=1), self.weight)
        )

    def forward(self, f: Tensor) -> Tensor:
        """Logits."""
        if self.scale is None:
            logits = f @ self.weight.t()
        else:
            logits = self.scale * (normalize(f, dim=1) @ normalize(self.weight, dim=1).t())
        return logits.masked_fill(~self.active, -torch.inf)
