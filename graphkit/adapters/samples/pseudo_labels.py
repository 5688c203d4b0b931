"""Images and their pseudo labels as a graph: hard, soft, and who is whose neighbour."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.vision.reid.k_reciprocal import jaccard_edges
from graphkit.vision.reid.sskd import SSKD
from graphkit.words import refuse_class

__all__ = ["PseudoLabelGraphAdapter"]

HARD = ("image", "hard", "cluster")
SOFT = ("image", "soft", "cluster")
NEAR = ("image", "k_reciprocal", "image")


class PseudoLabelGraphAdapter(GraphAdapter):
    r"""What :class:`~graphkit.vision.SSKD` believes of images without labels, as a graph.

    Images are linked to the cluster they were put in (``hard``), to those that the averaged
    networks give the largest shares (``soft``), and to images whose k-reciprocal neighbourhoods
    meet theirs (``k_reciprocal``, by one minus the Jaccard distance). Outliers, which training
    throws away, are nodes like all others: label propagation can still reach them. Where hard and
    largest soft label disagree, one of them is wrong. Time and memory are those of
    :func:`~graphkit.vision.jaccard_edges` and of a pass of the networks.

    PyG's :class:`~torch_geometric.nn.LabelPropagation` takes edge weights as they are: give it
    weights that :func:`~torch_geometric.nn.conv.gcn_conv.gcn_norm` has normalised.

    Args:
        model (SSKD): The networks, in a round.
        top (int, optional): Soft labels of an image. (default: :obj:`3`)
        k1, k2, variant, max_distance, max_neighbors (optional): As in
            :func:`~graphkit.vision.jaccard_edges`.

    Shapes:
        - **input:** images :math:`(N, \ldots)`, clusters :math:`(N)` with -1 for outliers,
          identities :math:`(N)` and cameras :math:`(N)` (both optional)
        - **output:** ``image.x`` :math:`(N, F)`: embeddings; ``image.entropy`` :math:`(N)` of the
          soft label, in nats; ``cluster.x`` :math:`(K, F)`: mean embeddings, 0 without an image;
          ``cluster.number`` and ``cluster.size`` :math:`(K)`

    Raises:
        ValueError: If ``top`` is below 1, lengths differ, or a label is no cluster of the model.

    Example:
        >>> import torch
        >>> from graphkit.adapters import PseudoLabelGraphAdapter
        >>> from graphkit.vision import SSKD
        >>> x, label = torch.rand(12, 6), torch.arange(12) % 3
        >>> model = SSKD(torch.nn.Linear(6, 4), 4, max_clusters=5, peers=1)
        >>> model.start_round(model.embed(x), label)
        >>> graph = PseudoLabelGraphAdapter(model)(x, label)
        >>> graph["image", "hard", "cluster"].edge_index.shape, graph["cluster"].size
        (torch.Size([2, 12]), tensor([4, 4, 4]))
    """

    schema = Schema(
        node={"image": "an image without a label", "cluster": "a cluster of the round"},
        edge={
            ".".join(HARD): "the image was put into the cluster",
            ".".join(SOFT): "the averaged networks think so; weight: share of the soft label",
            ".".join(NEAR): "k-reciprocal neighbourhoods meet; weight: 1 - Jaccard distance",
        },
        attributes={
            "image.x": ("N", "F"),
            "image.y": ("N",),
            "image.camera": ("N",),
            "image.outlier": ("N",),
            "image.entropy": ("N",),
            "cluster.x": ("N", "F"),
            "cluster.y": ("N",),
            "cluster.number": ("N",),
            "cluster.size": ("N",),
            **{f"{'.'.join(kind)}.edge_index": (2, "E") for kind in (HARD, SOFT, NEAR)},
            **{f"{'.'.join(kind)}.edge_weight": ("E",) for kind in (SOFT, NEAR)},
        },
        undirected={".".join(HARD): False, ".".join(SOFT): False, ".".join(NEAR): True},
        y="the identity as the caller gives it, of a cluster the most frequent; -1 if not given",
    )

    takes: ClassVar[dict[str, int]] = {"label": 1}

    def __init__(
        self,
        model: SSKD,
        top: int = 3,
        k1: int = 20,
        k2: int = 6,
        variant: str = "paper",
        max_distance: float = 1.0,
        max_neighbors: int | None = 1000,
    ) -> None:
        super().__init__()
        refuse_class("model", model)
        if top < 1:
            raise ValueError(f"'top' must be at least 1, got {top}")
        self.model, self.top = model, top
        self.k1, self.k2, self.variant = k1, k2, variant
        self.max_distance, self.max_neighbors = max_distance, max_neighbors

    @torch.no_grad()
    def forward(
        self, x: Tensor, label: Tensor, y: Tensor | None = None, camera: Tensor | None = None
    ) -> HeteroData:
        """The graph of the images that were clustered."""
        y = torch.full_like(label, -1) if y is None else y
        camera = torch.full_like(label, -1) if camera is None else camera
        for name, value in (("label", label), ("y", y), ("camera", camera)):
            if value.shape != x.shape[:1]:
                raise ValueError(f"'{name}' has shape {list(value.shape)} for {len(x)} images")
        number = self.model.clusters
        # Numbers that no cluster has in this round are no nodes.
        place = torch.full((self.model.max_clusters,), -1, device=label.device)
        place[number] = torch.arange(len(number), device=label.device)
        inside = label >= 0
        known = label[inside]
        if bool((known >= len(place)).any()) or bool((place[known] < 0).any()):
            raise ValueError("'label' holds numbers that are no cluster of the model's round")
        f, data = self.model.embed(x).float(), HeteroData()
        shares = self.model.soft_labels(x)[:, number].float()
        entropy = torch.special.entr(shares).sum(1)
        data["image"].update(
            {"x": f, "y": y, "camera": camera, "outlier": ~inside, "entropy": entropy}
        )
        data["image"].num_nodes = len(x)
        members = torch.stack([inside.nonzero().squeeze(1), place[known]])
        self.add_clusters(data, f, number, members)
        data[HARD].edge_index = members
        share, cluster = shares.topk(min(self.top, len(number)), dim=1)
        # By cluster within an image, so that edges are sorted.
        cluster, order = cluster.sort(dim=1)
        image = torch.arange(len(x), device=x.device).unsqueeze(1).expand_as(cluster)
        data[SOFT].edge_index = torch.stack([image.flatten(), cluster.flatten()])
        data[SOFT].edge_weight = share.gather(1, order).flatten()
        edges, distance = jaccard_edges(
            f,
            self.k1,
            self.k2,
            self.variant,
            max_distance=self.max_distance,
            max_neighbors=self.max_neighbors,
        )
        data[NEAR].edge_index, data[NEAR].edge_weight = edges, 1 - distance
        return data

    def add_clusters(self, data: HeteroData, f: Tensor, number: Tensor, members: Tensor) -> None:
        """Clusters by their members: mean embedding, size, most frequent identity."""
        image, cluster = members
        size = torch.bincount(cluster, minlength=len(number))
        total = f.new_zeros(len(number), f.size(1)).index_add_(0, cluster, f[image])
        y = data["image"].y[image]
        names, place = y.unique(return_inverse=True)
        most = torch.full_like(number, -1)
        if len(names):
            votes = f.new_zeros(len(number), len(names))
            votes.index_put_((cluster, place), torch.ones_like(y, dtype=f.dtype), accumulate=True)
            most = torch.where(size > 0, names[votes.argmax(1)], -1)
        data["cluster"].update(
            {"x": total / size.clamp(min=1).unsqueeze(1), "y": most, "number": number, "size": size}
        )
        data["cluster"].num_nodes = len(number)
