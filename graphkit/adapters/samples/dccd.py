"""Samples, what interventions make of them, and their domains as graphs."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from graphkit.adapters.builders import complete_edges, knn_edges
from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.modes import evaluating
from graphkit.vision.group_moments import GroupMoments
from graphkit.vision.reid.dccd import DCCD
from graphkit.vision.reid.intervention import wasserstein_distances
from graphkit.words import refuse_class

__all__ = ["DomainGraphAdapter", "InterventionGraphAdapter"]

KINDS = ("factual", "counterfactual")


class InterventionGraphAdapter(GraphAdapter):
    r"""Samples of :class:`~graphkit.vision.DCCD` and what they would be in other domains.

    Counterfactual node :math:`i + j N` is the :math:`j`-th intervention on factual node
    :math:`i`. With the domains of the nodes it is an out-of-distribution split as well: train on
    some domains, test on another. Time grows with :math:`N^2`, memory with :math:`N (k + n)`.

    Args:
        model (DCCD): The fitted model.
        interventions (int, optional): :math:`n` of each sample. (default: :obj:`1`)
        k (int, optional): Neighbours of a factual sample by cosine. (default: :obj:`5`)

    Shapes:
        - **input:** samples :math:`(N, *)`, identities and domains :math:`(N)`
        - **output:** ``x`` of samples :math:`(N, C)` and :math:`(n N, C)`, of domains
          :math:`(M, 2 C)`, the mean and the logarithms of the eigenvalues, largest first;
          ``domain`` of samples; ``edge_attr`` of ``do`` :math:`(n N, 3)`: the domain before and
          after and the Euclidean distance moved

    Raises:
        ValueError: If an option is below 1, or shapes or domains do not fit.

    Example:
        >>> import torch
        >>> from graphkit.adapters import InterventionGraphAdapter
        >>> from graphkit.vision import DCCD
        >>> model = DCCD(torch.nn.Linear(5, 4), 4, num_classes=6, num_domains=2)
        >>> x, y = torch.rand(12, 5), torch.arange(12) % 6
        >>> loss = model.loss(x, y=y, domain=y % 2)
        >>> generator = torch.Generator().manual_seed(0)
        >>> graph = InterventionGraphAdapter(model)(x, y, y % 2, generator=generator)
        >>> graph["do"].edge_attr.shape, graph["domain"].x.shape
        (torch.Size([12, 3]), torch.Size([2, 8]))
    """

    schema = Schema(
        node={
            "factual": "a sample as it is",
            "counterfactual": "a sample as it would be in another domain",
            "domain": "a domain",
        },
        edge={
            "factual.do.counterfactual": "a sample and what an intervention makes of it",
            "factual.in.domain": "a sample and its domain",
            "counterfactual.in.domain": "an intervention and the domain it sets",
            "factual.same_id.factual": "samples of one identity",
            "factual.near.factual": "nearest by cosine",
        },
        attributes={
            **{f"{kind}.x": ("N", "C") for kind in KINDS},
            **{f"{kind}.{name}": ("N",) for kind in KINDS for name in ("y", "domain")},
            "domain.x": ("N", "F"),
            "factual.do.counterfactual.edge_index": (2, "E"),
            "factual.do.counterfactual.edge_attr": ("E", 3),
            "factual.in.domain.edge_index": (2, "E"),
            "counterfactual.in.domain.edge_index": (2, "E"),
            "factual.same_id.factual.edge_index": (2, "E"),
            "factual.near.factual.edge_index": (2, "E"),
        },
        undirected={
            "factual.do.counterfactual": False,
            "factual.in.domain": False,
            "counterfactual.in.domain": False,
            "factual.same_id.factual": True,
            "factual.near.factual": True,
        },
        y="the identity, as the caller gives it",
    )

    def __init__(self, model: DCCD, interventions: int = 1, k: int = 5) -> None:
        super().__init__()
        refuse_class("model", model)
        for name, value in (("interventions", interventions), ("k", k)):
            if value < 1:
                raise ValueError(f"'{name}' must be at least 1, got {value}")
        self.model, self.interventions, self.k = model, interventions, k

    @torch.no_grad()
    def forward(
        self,
        x: Tensor,
        y: Tensor,
        domain: Tensor,
        *args: Any,
        rows: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> HeteroData:
        """The graph.

        Args:
            x (torch.Tensor): Inputs.
            y, domain (torch.Tensor): Identities and domains of the samples that become nodes.
            *args: What the model takes besides, such as ``edge_index``.
            rows (torch.Tensor, optional): Those samples. (default: all)
            generator (torch.Generator, optional): What draws the interventions. (default: one
                with a fixed seed)
        """
        if generator is None:
            generator = torch.Generator().manual_seed(0)
        intervention, device = self.model.intervention, x.device
        # Without dropout and with the statistics of training, as the bank is meant to be used.
        with evaluating(self.model):
            z = self.model(x, *args)
            z = z if rows is None else z[rows]
            if y.shape != z.shape[:1]:
                raise ValueError(f"'y' has shape {list(y.shape)} for {len(z)} samples")
            times = self.interventions
            before, target = domain.repeat(times), intervention.draw(len(z) * times, generator)
            moved = intervention(z.repeat(times, 1), before, target.to(device))
        values, _ = intervention.spectrum()
        data, number = HeteroData(), torch.arange(len(z), device=device)
        for kind, part, place, own in (
            ("factual", z, domain, y),
            ("counterfactual", moved, target, y.repeat(times)),
        ):
            data[kind].update(
                {"x": part.float(), "y": own, "domain": place, "num_nodes": len(part)}
            )
            ends = torch.stack([torch.arange(len(part), device=device), place])
            data[kind, "in", "domain"].edge_index = ends
        spread = values.flip(1).log().float()
        data["domain"].x = torch.cat([intervention.moments.mean.float(), spread], 1)
        data["domain"].num_nodes = len(values)
        do = data["factual", "do", "counterfactual"]
        # Interventions are numbered round by round, edges sorted by the sample they start from.
        order = number.repeat(times).argsort(stable=True)
        length = (moved - z.repeat(times, 1)).norm(dim=1)
        do.edge_index = torch.stack([number.repeat(times)[order], order])
        do.edge_attr = torch.stack([before.float(), target.float(), length.float()], 1)[order]
        data["factual", "same_id", "factual"].edge_index = complete_edges(y)
        near = knn_edges(z, self.k, metric="cosine")
        data["factual", "near", "factual"].edge_index = near
        return data


class DomainGraphAdapter(GraphAdapter):
    r"""Domains, environments or data sets, and how far their representations are from each other.

    Every pair is an edge, of the weight :math:`e^{-W^2 / \bar W^2}` with the squared 2-Wasserstein
    distance of their Gaussians over the mean one of all pairs: which sources are like a target,
    for :class:`~graphkit.vision.DCCD` and others. Time grows with :math:`M^2 C^3`.

    Args:
        shrink (float, optional): Share of the mean variance in every direction that is mixed into
            a covariance, for domains of few samples. (default: :obj:`0.0`)

    Shapes:
        - **input:** representations :math:`(N, C)` and their domains :math:`(N)`, from 0
        - **output:** ``x`` :math:`(M, 2 C)`, the mean and the eigenvalues of the covariance,
          largest first; ``count`` of samples :math:`(M)`; ``edge_weight`` in (0, 1] and
          ``edge_attr``, the squared distance, :math:`(M (M - 1), 1)`

    Raises:
        ValueError: If shapes do not fit, values are not finite, or a domain below the last one
            has no sample.

    Example:
        >>> import torch
        >>> from graphkit.adapters import DomainGraphAdapter
        >>> z = torch.tensor([[0.0], [2.0], [1.0], [3.0], [7.0], [9.0]])
        >>> graph = DomainGraphAdapter()(z, torch.tensor([0, 0, 1, 1, 2, 2]))
        >>> graph.edge_index[:, :2].tolist(), graph.edge_attr[:2, 0].tolist()
        ([[0, 0], [1, 2]], [1.0, 49.0])
    """

    schema = Schema(
        node="a domain",
        edge="every pair; weight: similarity, attribute: squared 2-Wasserstein distance",
        attributes={
            "x": ("N", "F"),
            "count": ("N",),
            "edge_index": (2, "E"),
            "edge_weight": ("E",),
            "edge_attr": ("E", 1),
        },
        undirected=True,
    )
    takes: ClassVar[dict[str, int]] = {"z": 2}

    def __init__(self, shrink: float = 0.0) -> None:
        super().__init__()
        if not 0 <= shrink <= 1:
            raise ValueError(f"'shrink' must be in [0, 1], got {shrink}")
        self.shrink = shrink

    @torch.no_grad()
    def forward(self, z: Tensor, domain: Tensor) -> Data:
        """The graph."""
        count = int(domain.max()) + 1 if domain.numel() else 0
        with torch.device(z.device):
            moments = GroupMoments(max(count, 1), z.size(1))
        moments.update(z, domain)
        mean, cov, sizes = moments.mean[:count], moments.cov[:count], moments.count[:count]
        if (sizes == 0).any():
            empty = (sizes == 0).nonzero().squeeze(1).tolist()
            raise ValueError(f"'domain' has nobody in {empty} of {count}; number them from 0")
        variance = cov.diagonal(dim1=1, dim2=2).mean(1).view(-1, 1, 1)
        even = variance * torch.eye(z.size(1), device=z.device)
        cov = (1 - self.shrink) * cov + self.shrink * even
        squared = wasserstein_distances(mean, cov)
        edges = (~torch.eye(count, dtype=torch.bool, device=z.device)).nonzero().t().contiguous()
        distance = squared[edges[0], edges[1]].float()
        # Domains that are all alike are similar, not undefined.
        scale = distance.mean().clamp(min=1e-12) if count > 1 else 1.0  # wide
        values = torch.linalg.eigvalsh(cov.double()).clamp(min=0).flip(1).float()
        return Data(
            x=torch.cat([mean, values], 1),
            count=sizes,
            edge_index=edges,
            edge_weight=(-distance / scale).exp(),
            edge_attr=distance.unsqueeze(1),
            num_nodes=count,
        )
