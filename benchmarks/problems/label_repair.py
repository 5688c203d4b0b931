"""Pseudo labels repaired by message passing over what is known of images without labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.nn import CorrectAndSmooth, LabelPropagation, RGCNConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm

__all__ = ["RelationalLabels", "relational_labels", "smoothed_labels"]

HARD, SOFT, NEAR = 0, 1, 2


def smoothed_labels(graph: HeteroData, hard: Tensor, soft: Tensor) -> dict[str, Tensor]:
    """Labels after CorrectAndSmooth and after LabelPropagation on the k-reciprocal edges.

    Args:
        graph (HeteroData): Of PseudoLabelGraphAdapter.
        hard (torch.Tensor): Clusters of the images, -1 for outliers.
        soft (torch.Tensor): Shares of the clusters ``[N, K]``.
    """
    # Where both kinds of labels agree they are taken for right; no true label is looked at.
    trusted = (hard == soft.argmax(1)).nonzero().squeeze(1)
    near = graph["image", "k_reciprocal", "image"]
    edges, weight = gcn_norm(near.edge_index, near.edge_weight, len(hard), add_self_loops=False)
    smooth = CorrectAndSmooth(20, 0.8, 20, 0.8)
    corrected = smooth.correct(soft, hard[trusted], trusted, edges, weight)
    smoothed = smooth.smooth(corrected, hard[trusted], trusted, edges, weight)
    start = torch.zeros_like(soft)
    start[trusted, hard[trusted]] = 1
    spread = LabelPropagation(20, 0.9)(start, edges, edge_weight=weight)
    return {
        "repaired": smoothed.argmax(1),
        "propagated": torch.where(spread.any(1), spread.argmax(1), -1),
    }


class RelationalLabels(nn.Module):
    r"""Which cluster an image belongs to, by two layers of R-GCN over images and clusters.

    Relations are hard and soft labels, each in both directions, and k-reciprocal neighbourhood.
    Layers add to the embeddings, so that it begins as the nearest centroid; a score is a scaled
    cosine of an image and a cluster.

    Args:
        channels (int): Of the embeddings.
        dropout (float, optional): Of the embeddings' channels. (default: :obj:`0.3`)
    """

    def __init__(self, channels: int, dropout: float = 0.3) -> None:
        super().__init__()
        self.dropout = dropout
        self.layers = nn.ModuleList(RGCNConv(channels, channels, 5) for _ in range(2))
        self.scale = nn.Parameter(torch.tensor(10.0))

    def forward(self, x: Tensor, edges: Tensor, kind: Tensor, images: int) -> Tensor:
        """Logits ``[N, K]`` of the clusters, which come behind the images in ``x``."""
        h = F.dropout(x, self.dropout, self.training)
        for layer in self.layers:
            h = h + layer(F.relu(h), edges, kind)
        h = F.normalize(h, dim=1)
        return self.scale * h[:images] @ h[images:].t()


def relational_labels(
    graph: HeteroData, hard: Tensor, steps: int = 40, folds: int = 5, lr: float = 0.01
) -> Tensor:
    """Labels by an R-GCN that is trained on the hard labels, each predicted without itself.

    Images with a hard label are parted in folds. In training one fold after the other hides its
    hard edges and is predicted from all other relations; in the end every image gets what was
    predicted while its own hard edge was hidden. So a label that its neighbourhood does not bear
    out changes, and outliers, which have none, are named. No true label is looked at.

    Args:
        graph (HeteroData): Of PseudoLabelGraphAdapter.
        hard (torch.Tensor): Clusters of the images, -1 for outliers.
        steps, folds (int): Of training.
        lr (float): Of Adam.
    """
    image, cluster = graph["image"], graph["cluster"]
    count = len(hard)
    x = torch.cat([image.x, F.normalize(cluster.x, dim=1)])
    edges, kind = relations(graph, count)
    place = torch.full((int(cluster.number.max()) + 1,), -1)
    place[cluster.number] = torch.arange(len(cluster.number))
    target = torch.where(hard >= 0, place[hard], -1)
    model = RelationalLabels(x.size(1))
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=5e-4)
    fold = torch.randint(folds, (count,)).masked_fill(hard < 0, 0)

    def hidden(part: int) -> tuple[Tensor, Tensor]:
        """The edges without hard ones of a fold, in both directions."""
        inside = torch.zeros(len(x), dtype=torch.bool)
        inside[:count] = (fold == part) & (hard >= 0)
        left = (kind // 2 != HARD) | ~(inside[edges[0]] | inside[edges[1]])
        return edges[:, left], kind[left]

    parts = [hidden(part) for part in range(folds)]
    for step in range(steps):
        part = step % folds
        rows = ((fold == part) & (hard >= 0)).nonzero().squeeze(1)
        if not len(rows):
            continue
        optimizer.zero_grad()
        F.cross_entropy(model(x, *parts[part], count)[rows], target[rows]).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        named = torch.stack([model(x, *part, count).argmax(1) for part in parts])
    return cluster.number[named[fold, torch.arange(count)]]


def relations(graph: HeteroData, images: int, least: float = 0.3) -> tuple[Tensor, Tensor]:
    """Edges and their kinds, clusters behind images; of near images those that share enough."""
    near = graph["image", "k_reciprocal", "image"]
    edges, kinds = [], []
    for number, name in ((HARD, "hard"), (SOFT, "soft")):
        pairs = graph["image", name, "cluster"].edge_index + torch.tensor([[0], [images]])
        edges += [pairs, pairs.flip(0)]
        kinds += [2 * number, 2 * number + 1]
    edges.append(near.edge_index[:, near.edge_weight > least])
    kinds.append(2 * NEAR)
    sizes = torch.tensor([pairs.size(1) for pairs in edges])
    return torch.cat(edges, 1), torch.tensor(kinds).repeat_interleave(sizes)
