"""Samples as two networks see them: a graph of where they differ."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.adapters.builders import knn_edges
from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.distill.data_free.adversarial import DFAD
from graphkit.distill.distiller import features
from graphkit.modes import evaluating
from graphkit.taps import tap
from graphkit.words import refuse_class

__all__ = ["DisagreementGraphAdapter"]


class DisagreementGraphAdapter(GraphAdapter):
    r"""Samples of a :class:`~graphkit.distill.DFAD`, linked where the teacher sees them alike.

    A node is a sample, in the order that they come in; of a graph network that answers for nodes,
    a node. Edges link the nearest in the teacher's features by cosine. Student and teacher stand
    on the same edges, so :class:`~graphkit.distill.LocalStructureLoss` carries structure from one
    to the other; ``gap`` is a signal on the graph, and ``y`` are labels that need no data. Time
    grows with :math:`N^2`, memory with :math:`N k`.

    Args:
        model (DFAD): Student, teacher and generator.
        layers (tuple of str): The modules of last features, in the student and in the teacher.
        k (int, optional): Neighbours of a sample. (default: :obj:`5`)

    Shapes:
        - **input:** samples: what the generator makes, or real ones of that kind
        - **output:** ``x`` :math:`(N, F_t)` and ``x_student`` :math:`(N, F_s)`, maps flattened;
          ``soft`` :math:`(N, K)`, the teacher's probabilities; ``gap`` :math:`(N)`, the mean
          absolute difference of logits; ``edge_weight`` :math:`(E)`: cosines, from
          :math:`[-1, 1]` to :math:`[0, 1]`

    Raises:
        ValueError: If ``k`` is below 1, there are not two layers, or one is unknown.

    Example:
        >>> from torch import nn
        >>> from graphkit.adapters import DisagreementGraphAdapter
        >>> from graphkit.distill import DFAD, ImageGenerator
        >>> student, teacher = (
        ...     nn.Sequential(nn.Flatten(), nn.Linear(64, w), nn.ReLU(), nn.Linear(w, 3))
        ...     for w in (4, 9))
        >>> dfad = DFAD(student, teacher, ImageGenerator(5, size=8, hidden_channels=4))
        >>> adapter = DisagreementGraphAdapter(dfad, ("2", "2"), k=2)
        >>> graph = adapter(dfad.generator(dfad.noise(6)))
        >>> graph.x.shape, graph.x_student.shape, graph.gap.shape
        (torch.Size([6, 9]), torch.Size([6, 4]), torch.Size([6]))
    """

    schema = Schema(
        node="a sample",
        edge="nearest neighbours in the teacher's features; weight: cosine, in [0, 1]",
        attributes={
            "x": ("N", "F"),
            "x_student": ("N", "S"),
            "y": ("N",),
            "soft": ("N", "K"),
            "gap": ("N",),
            "edge_index": (2, "E"),
            "edge_weight": ("E",),
        },
        undirected=True,
        y="the class of the teacher's largest logit",
    )

    def __init__(self, model: DFAD, layers: tuple[str, str], k: int = 5) -> None:
        super().__init__()
        refuse_class("model", model)
        if k < 1:
            raise ValueError(f"'k' must be at least 1, got {k}")
        if len(layers) != 2:
            raise ValueError(f"'layers' must name two modules, got {list(layers)}")
        self.model, self.k = model, k
        self.layers = tuple(layers)
        for network, name in zip((model.student, model.teacher), layers, strict=True):
            with tap(network, name) as record:
                record.clear()  # Only to have unknown names refused now.

    @torch.no_grad()
    def forward(self, made: Any) -> Data:
        """The graph of some samples.

        Args:
            made (Any): What student and teacher take.
        """
        student, logits_student = self.look(self.model.student, self.layers[0], made, "student")
        teacher, logits = self.look(self.model.teacher, self.layers[1], made, "teacher")
        edge_index, weight = near(teacher, self.k)
        return Data(
            x=teacher.float(),
            x_student=student.float(),
            y=logits.argmax(1),
            soft=logits.softmax(1).float(),
            gap=(logits - logits_student).abs().flatten(1).mean(1).float(),
            edge_index=edge_index,
            edge_weight=weight,
            num_nodes=len(teacher),
        )

    def look(self, network: Any, layer: str, made: Any, name: str) -> tuple[Tensor, Tensor]:
        """A network's features, flattened, and logits, in evaluation mode."""
        with evaluating(network), tap(network, layer) as record:
            logits = self.model.call(network, made, name)
        seen = features(dict(record), layer)
        return seen.flatten(1) if seen.dim() > 1 else seen.unsqueeze(1), logits


def near(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Nearest neighbours by cosine, and the cosines mapped to [0, 1]."""
    edge_index = knn_edges(x, k, metric="cosine")
    unit = torch.nn.functional.normalize(x.float(), dim=1)
    cosine = (unit[edge_index[0]] * unit[edge_index[1]]).sum(1)
    return edge_index, ((1 + cosine) / 2).clamp(0, 1)
