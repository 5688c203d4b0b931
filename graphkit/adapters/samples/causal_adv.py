"""Samples and their attacked twins as a graph, by content and by style."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from graphkit.adapters.builders import knn_edges
from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.modes import evaluating
from graphkit.vision.attacks import logit_margin
from graphkit.vision.causal_adv import CausalAdv
from graphkit.words import refuse_class

__all__ = ["CausalPairGraphAdapter"]

KINDS = ("natural", "adversarial")


class CausalPairGraphAdapter(GraphAdapter):
    r"""Samples of :class:`~graphkit.vision.CausalAdv` and what an attack made of them.

    Node ``i`` of both types is the same sample. The homophily of ``content_near`` and
    ``style_near``, :func:`torch_geometric.utils.homophily` of each, reads robustness off: how much
    content and style say of the label before and after the attack. ``robust`` as a label of
    ``attacked_to``, or of nodes, makes a task of predicting which attacks succeed. Time grows with
    :math:`N^2`, memory with :math:`N k`.

    Args:
        model (CausalAdv): The fitted model.
        k (int, optional): Neighbours by cosine, in each relation. (default: :obj:`8`)

    Shapes:
        - **input:** samples and attacked samples :math:`(N, *)`, labels :math:`(N)`
        - **output:** ``x`` of both types :math:`(N, K + D)`, the content logits, then the style;
          ``pred`` and ``robust`` (right after the attack) :math:`(N)`; ``edge_attr`` of
          ``attacked_to`` :math:`(N, 5)`: largest change of an input, margin of the label before
          and after, Euclidean distance of the styles and of the logits

    Raises:
        ValueError: If ``k`` is below 1, or shapes do not fit.

    Example:
        >>> import torch
        >>> from graphkit.adapters import CausalPairGraphAdapter
        >>> from graphkit.vision import CausalAdv
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 8))
        >>> model = CausalAdv(net, 8, num_classes=3, eps=0.1)
        >>> x, y = torch.rand(6, 4, 4), torch.arange(6) % 3
        >>> graph = CausalPairGraphAdapter(model, k=2)(x, model.attack(x, y=y), y)
        >>> graph["natural"].x.shape, graph["attacked_to"].edge_attr.shape
        (torch.Size([6, 11]), torch.Size([6, 5]))
    """

    schema = Schema(
        node={"natural": "a sample", "adversarial": "the same sample under attack"},
        edge={
            "natural.attacked_to.adversarial": "a sample and its attacked twin",
            **{f"{kind}.content_near.{kind}": "nearest by content logits" for kind in KINDS},
            **{f"{kind}.style_near.{kind}": "nearest by style" for kind in KINDS},
        },
        attributes={
            **{f"{kind}.x": ("N", "F") for kind in KINDS},
            **{f"{kind}.{name}": ("N",) for kind in KINDS for name in ("y", "pred", "robust")},
            "natural.attacked_to.adversarial.edge_index": (2, "E"),
            "natural.attacked_to.adversarial.edge_attr": ("E", 5),
            **{
                f"{k}.{r}_near.{k}.edge_index": (2, "E")
                for k in KINDS
                for r in ("content", "style")
            },
        },
        undirected={
            "natural.attacked_to.adversarial": False,
            **{f"{k}.{r}_near.{k}": True for k in KINDS for r in ("content", "style")},
        },
        y="the label, as the caller gives it",
    )

    def __init__(self, model: CausalAdv, k: int = 8) -> None:
        super().__init__()
        refuse_class("model", model)
        if k < 1:
            raise ValueError(f"'k' must be at least 1, got {k}")
        self.model, self.k = model, k

    @torch.no_grad()
    def forward(
        self,
        x: Tensor,
        adversarial: Tensor,
        y: Tensor,
        *args: Any,
        rows: Tensor | None = None,
    ) -> HeteroData:
        """The graph.

        Args:
            x, adversarial (torch.Tensor): Inputs before and after.
            y (torch.Tensor): Labels of the samples that become nodes.
            *args: What the model takes besides, such as ``edge_index``.
            rows (torch.Tensor, optional): Those samples. (default: all)
        """
        if x.shape != adversarial.shape:
            raise ValueError(
                f"'x' and 'adversarial' must have one shape, got {list(x.shape)} and "
                f"{list(adversarial.shape)}"
            )
        rows = torch.arange(len(x), device=x.device) if rows is None else rows
        data, logits, styles = HeteroData(), [], []
        # As the attack saw the model: with the batch statistics of training, not of these samples.
        with evaluating(self.model):
            for inputs in (x, adversarial):
                f = self.model.features(inputs, *args)[rows]
                logits.append(self.model.head(f).float())
                styles.append(self.model.style(f).float())
        if y.shape != rows.shape:
            raise ValueError(f"'y' has shape {list(y.shape)} for {len(rows)} samples")
        robust = logits[1].argmax(1) == y
        for kind, content, style in zip(KINDS, logits, styles, strict=True):
            data[kind].update(
                {
                    "x": torch.cat([content, style], 1),
                    "y": y,
                    "pred": content.argmax(1),
                    "robust": robust,
                    "num_nodes": len(rows),
                }
            )
            for name, points in (("content", content), ("style", style)):
                near = knn_edges(points, self.k, metric="cosine")
                data[kind, f"{name}_near", kind].edge_index = near
        # Twins have the same number in both types, so the edges are sorted as they come.
        number = torch.arange(len(rows), device=x.device)
        pair = data["natural", "attacked_to", "adversarial"]
        pair.edge_index = torch.stack([number, number])
        moved = (adversarial - x)[rows].flatten(1).abs()
        pair.edge_attr = attack_columns(moved, logits, styles, y)
        return data


def attack_columns(moved: Tensor, logits: list[Tensor], styles: list[Tensor], y: Tensor) -> Tensor:
    """What an attack did, of each sample."""
    columns = [
        moved.amax(1) if moved.numel() else moved.new_zeros(len(y)),
        *(logit_margin(content, y) for content in logits),
        (styles[1] - styles[0]).norm(dim=1),
        (logits[1] - logits[0]).norm(dim=1),
    ]
    return torch.stack(columns, 1).float()
