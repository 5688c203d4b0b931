"""Hidden units linked by how much they say the same."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.modes import evaluating
from graphkit.precision import positive
from graphkit.taps import tap
from graphkit.words import refuse_class

__all__ = ["CoadaptationGraphAdapter"]


class CoadaptationGraphAdapter(GraphAdapter):
    r"""The units of a layer as nodes, with an edge between those that are correlated: what
    :class:`~graphkit.nn.ContinuousDropout` is to make fewer of.

    .. math::
        r_{uv} = \mathrm{corr}(h_u, h_v), \qquad
        (u, v) \in \mathcal{E} \iff v \in \operatorname{top}_k |r_{u \cdot}|
        \text{ or } u \in \operatorname{top}_k |r_{v \cdot}|

    Works on any model whose layer puts units in the second dimension: dense ones, channels of
    images (averaged over places), node features of a GNN.  ``y`` needs one pass of the model per
    unit, in which that unit is zero; the rest grows with :math:`B U^2`.

    Args:
        model (torch.nn.Module): A trained classifier; run in evaluation mode.
        layer (str): Name of the module whose output are the units.
        incoming (str, optional): Name of the module whose weight has a row per unit.
            (default: :obj:`layer`)
        k (int, optional): Neighbours of a unit. (default: :obj:`8`)

    Shapes:
        - **input:** samples :math:`(B, *)`, classes :math:`(B)`, units :math:`(U')` (optional),
          what else the model takes
        - **output:** ``x`` :math:`(U, 4)`: norm of incoming weights, mean activation, share of
          samples at or below zero, class selectivity in [0, 1]; ``edge_weight`` :math:`(E)`: the
          correlation, signed; ``y`` :math:`(U)`: accuracy lost without the unit; of all its pairs
          ``density`` :math:`(1)`: share above .3, ``strength`` :math:`(1)`: mean of
          :math:`|r|`, ``spectrum`` :math:`(1)`: largest eigenvalue of :math:`r` over :math:`U`

    Raises:
        ValueError: If ``k`` is below 1, the weight has other rows, or shapes do not fit.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from graphkit.adapters import CoadaptationGraphAdapter
        >>> model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
        >>> adapter = CoadaptationGraphAdapter(model, "1", incoming="0", k=3)
        >>> adapter(torch.rand(50, 4), torch.randint(3, (50,))).x.shape
        torch.Size([16, 4])
    """

    schema = Schema(
        node="a unit of the layer",
        edge="one of the other's k most correlated; weight: the correlation",
        attributes={
            "x": ("N", 4),
            "y": ("N",),
            "unit": ("N",),
            "edge_index": (2, "E"),
            "edge_weight": ("E",),
            "density": (1,),
            "strength": (1,),
            "spectrum": (1,),
        },
        undirected=True,
        y="accuracy on the given samples minus that without the unit",
    )

    def __init__(
        self, model: nn.Module, layer: str, incoming: str | None = None, k: int = 8
    ) -> None:
        super().__init__()
        refuse_class("model", model)
        if k < 1:
            raise ValueError(f"'k' must be at least 1, got {k}")
        self.model, self.layer, self.k = model, layer, k
        self.incoming = layer if incoming is None else incoming

    @torch.no_grad()
    def forward(
        self, x: Tensor, y: Tensor, units: Tensor | None = None, *context: Any, **named: Any
    ) -> Data:
        """The graph of the layer, as seen on some samples."""
        if y.shape != x.shape[:1]:
            raise ValueError(f"'y' has shape {list(y.shape)} for {len(x)} samples")
        with evaluating(self.model):
            with tap(self.model, self.layer) as record:
                out = self.model(x, *context, **named)
            seen = record[self.layer].output
            units = torch.arange(seen.size(1), device=x.device) if units is None else units
            lost = torch.stack(
                [hits(out, y) - self.without(unit, x, y, context, named) for unit in units.tolist()]
                or [hits(out, y)]
            )[: len(units)]
        seen = seen.flatten(2).mean(2) if seen.dim() > 2 else seen
        values = seen[:, units].double()
        edges, weight, pairs = strongest(values, self.k)
        features = [self.norms(seen.size(1))[units], values.sum(0) / max(len(x), 1)]
        features += [share_at_rest(values), selectivity(values, y)]
        count = max(len(units), 1)
        return Data(
            x=torch.stack([feature.float() for feature in features], 1),
            y=lost.float(),
            unit=units,
            edge_index=edges,
            edge_weight=weight.float(),
            density=(mean_of_pairs((pairs.abs() > 0.3).double())).float().view(1),
            strength=mean_of_pairs(pairs.abs()).float().view(1),
            spectrum=(largest_eigenvalue(pairs) / count).float().view(1),
            num_nodes=len(units),
        )

    def without(self, unit: int, x: Tensor, y: Tensor, context: tuple, named: dict) -> Tensor:
        """Accuracy while one unit is silent."""

        def silence(_: nn.Module, __: Any, output: Tensor) -> Tensor:
            output = output.clone()
            output[:, unit] = 0
            return output

        handle = self.model.get_submodule(self.layer).register_forward_hook(silence)
        try:
            return hits(self.model(x, *context, **named), y)
        finally:
            handle.remove()

    def norms(self, count: int) -> Tensor:
        """Length of each unit's incoming weights."""
        weight = getattr(self.model.get_submodule(self.incoming), "weight", None)
        if not isinstance(weight, Tensor) or len(weight) != count:
            raise ValueError(
                f"'incoming' must name a module with a weight of {count} rows, one per unit of "
                f"'{self.layer}'; '{self.incoming}' has "
                f"{'none' if weight is None else list(weight.shape)}"
            )
        return weight.flatten(1).norm(dim=1)


def hits(out: Tensor, y: Tensor) -> Tensor:
    """Accuracy; zero of no sample."""
    return (out.argmax(1) == y).double().sum() / max(len(y), 1)


def strongest(values: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Edges to the ``k`` most correlated columns, their correlations, and those of all pairs."""
    centred = values - values.mean(0) if len(values) else values
    norm = centred.norm(dim=0)
    # Rounding leaves a silent unit a trace of variance, which would correlate with anything.
    lively = norm > 1e-9 * values.abs().amax(0) if len(values) else norm > 0
    unit = torch.where(lively, centred / norm.clamp(min=1e-300), 0.0)
    pairs = unit.t() @ unit
    count = len(pairs)
    pairs.fill_diagonal_(0)
    near = pairs.abs().topk(min(k, max(count - 1, 0)), dim=1)
    rows = torch.arange(count, device=values.device).unsqueeze(1).expand_as(near.indices)
    edges = torch.stack([rows, near.indices])[:, near.values > 0]
    edges = to_undirected(edges, num_nodes=count)
    return edges, pairs[edges[0], edges[1]].clamp(-1, 1), pairs


def mean_of_pairs(pairs: Tensor) -> Tensor:
    """Mean off the diagonal, which is zero."""
    return pairs.sum() / max(len(pairs) * (len(pairs) - 1), 1)


def largest_eigenvalue(pairs: Tensor) -> Tensor:
    """Of the correlation matrix, ones on its diagonal."""
    if len(pairs) == 0:
        return pairs.new_zeros(())
    return torch.linalg.eigvalsh(pairs.clone().fill_diagonal_(1))[-1]


def share_at_rest(values: Tensor) -> Tensor:
    """Share of samples at which a unit is at or below zero."""
    return (values <= 0).double().sum(0) / max(len(values), 1)


def selectivity(values: Tensor, y: Tensor) -> Tensor:
    """Mean of the class that a unit answers most to against that of the others, in [0, 1]."""
    classes = int(y.max()) + 1 if len(y) else 1
    total = values.new_zeros(classes, values.size(1)).index_add_(0, y, values.abs())
    count = torch.bincount(y, minlength=classes).to(values)
    means = total / count.clamp(min=1).unsqueeze(1)
    best, which = means.max(0)
    others = total.sum(0) - total.gather(0, which.unsqueeze(0))[0]
    others = others / (len(y) - count[which]).clamp(min=1)
    return ((best - others) / positive(best + others)).clamp(min=0)
