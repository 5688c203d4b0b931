"""Which images show a single object, and of what kind, without labels; and how well parts part."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.ops.dtypes import is_half, widened
from graphkit.vision.udor import UDOR
from graphkit.words import refuse_class

__all__ = ["anchor_clusters", "modularity", "removal_matrix", "visual_integrity"]


def anchor_clusters(x: Tensor, num_parts: int, extent: int, seed: int = 0) -> Tensor:
    r"""Clusters of the images that show one object: those whose ink fits into a small square.

    They are cut out and grouped by :class:`sklearn.cluster.KMeans`.

    Args:
        x (torch.Tensor): Images, empty where 0.
        num_parts (int): Number of clusters.
        extent (int): Side of a square that holds one object and never two.
        seed (int, optional): Of the clustering. (default: :obj:`0`)

    Shapes:
        - **input:** :math:`(N, C, S, S)`
        - **output:** :math:`(N)`, -1 where there are several objects or none

    Raises:
        ValueError: If fewer images than clusters show one object.

    Example:
        >>> import torch
        >>> x = torch.zeros(3, 1, 8, 8)
        >>> x[0, 0, 1:3, 1:3], x[1, 0, 4, 4] = 1.0, 1.0
        >>> anchor_clusters(x, 2, extent=3).unique().tolist()
        [-1, 0, 1]
    """
    from sklearn.cluster import KMeans

    ink = x.abs().sum(1) > 0
    begins, ends = [], []
    for axis in (2, 1):
        line = ink.any(axis).int()
        begins.append(line.argmax(1))
        ends.append(line.size(1) - line.flip(1).argmax(1))
    single = ink.flatten(1).any(1)
    for begin, end in zip(begins, ends, strict=True):
        single &= end - begin <= extent
    rows = single.nonzero().squeeze(1)
    if len(rows) < num_parts:
        raise ValueError(f"{len(rows)} images show one object within 'extent' = {extent} cells")
    padded = torch.nn.functional.pad(x[rows], (0, extent, 0, extent))
    step = torch.arange(extent, device=x.device)
    high = (begins[0][rows].unsqueeze(1) + step).view(-1, 1, extent, 1)
    wide = (begins[1][rows].unsqueeze(1) + step).view(-1, 1, 1, extent)
    image = torch.arange(len(rows), device=x.device).view(-1, 1, 1, 1)
    channel = torch.arange(x.size(1), device=x.device).view(1, -1, 1, 1)
    cut = padded[image, channel, high, wide].flatten(1)
    labels = KMeans(num_parts, n_init=10, random_state=seed).fit_predict(cut.cpu().numpy())
    cluster = torch.full((len(x),), -1, device=x.device)
    cluster[rows] = torch.from_numpy(labels).long().to(x.device)
    return cluster


@torch.no_grad()
def removal_matrix(model: UDOR, x: Tensor, masks: Tensor) -> Tensor:
    r"""How much of each category's ink goes when a part is removed.

    .. math::
        R_{kc} = \mathrm{mean}_x \; 1 - \frac{\sum_{i \in m_c} D(z^{-k})_i}
        {\sum_{i \in m_c} D(z)_i}

    A permutation matrix is ideal.

    Args:
        model (UDOR): The model.
        x (torch.Tensor): Images.
        masks (torch.Tensor): Where each category is; nowhere if absent.

    Shapes:
        - **input:** :math:`(N, C, S, S)`, :math:`(N, K, S, S)`
        - **output:** :math:`(K, K)`, parts by categories
    """
    refuse_class("model", model)
    parts = model.encode(x)
    cells = masks.to(x.dtype)
    here = masks.flatten(2).any(2)

    def ink(codes: Tensor) -> Tensor:
        return (model.decode(codes).sum(1, keepdim=True) * cells).sum((2, 3))

    before, rows = ink(parts), []
    for part in range(model.num_parts):
        remaining = parts.clone()
        remaining[:, part] = 0
        drop = (1 - ink(remaining) / before.clamp(min=1e-3)).clamp(-1, 1) * here
        rows.append(drop.sum(0) / here.sum(0).clamp(min=1))
    return torch.stack(rows)


def modularity(parts: Tensor, changed: Tensor) -> Tensor:
    r"""How far the other parts move while a single object's instance changes; 0 is best.

    .. math::
        \mathrm{mean}_{g,\, k \ne c_g} \; \mathrm{mean}_i \lvert z_{gik} - \bar z_{gk} \rvert

    Args:
        parts (torch.Tensor): Codes of groups of images that differ in one object.
        changed (torch.Tensor): The part of that object.

    Shapes:
        - **input:** :math:`(G, M, K, D)`, :math:`(G)`
        - **output:** a scalar

    Example:
        >>> import torch
        >>> parts = torch.zeros(1, 2, 2, 3)
        >>> parts[0, 0, 1] = 1.0
        >>> modularity(parts, torch.tensor([1])), modularity(parts, torch.tensor([0]))
        (tensor(0.), tensor(0.5000))
    """
    spread = (parts - parts.mean(1, keepdim=True)).abs().mean((1, 3))
    other = torch.arange(parts.size(2), device=parts.device) != changed.unsqueeze(1)
    return spread[other].mean()


def visual_integrity(x: Tensor, edited: Tensor, kept: Tensor) -> Tensor:
    r"""Mean difference over the pixels of the objects that are kept; 0 is best.

    Args:
        x, edited (torch.Tensor): Images before and after.
        kept (torch.Tensor): Where those objects are.

    Shapes:
        - **input:** :math:`(N, C, S, S)` twice, :math:`(N, 1, S, S)`
        - **output:** a scalar

    Example:
        >>> import torch
        >>> x = torch.rand(2, 1, 4, 4)
        >>> visual_integrity(x, x, x > 0)
        tensor(0.)
    """
    if is_half(x):
        return visual_integrity(widened(x), widened(edited), kept).to(x.dtype)
    cells = kept.expand_as(x).to(x.dtype)
    return ((x - edited).abs() * cells).sum() / cells.sum().clamp(min=1)
