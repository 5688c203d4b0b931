"""Real and made samples in one graph: can neighbours tell them apart?"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.adapters.models.disagreement import near
from graphkit.distill.distiller import features
from graphkit.modes import evaluating
from graphkit.taps import tap
from graphkit.words import refuse_class

__all__ = ["TwoSampleGraphAdapter"]


class TwoSampleGraphAdapter(GraphAdapter):
    r"""Real and generated samples as nodes, linked where a network sees them alike.

    Real samples come first, then generated ones, each in their order. How often neighbours are of
    one kind is the statistic of a two-sample test, see
    :func:`~graphkit.metrics.neighbour_test`; a graph network that tells the kinds apart is
    another. Take a network that was trained apart, not the discriminator, which has been fooled.
    Time grows with :math:`N^2`, memory with :math:`N k`.

    Args:
        network (torch.nn.Module): Whose features are compared.
        layer (str, optional): Their module; ``""`` is the network's output. (default: ``""``)
        k (int, optional): Neighbours of a sample. (default: :obj:`5`)

    Shapes:
        - **input:** real :math:`(A, *)` and generated samples :math:`(B, *)`
        - **output:** ``x`` :math:`(A + B, F)`, maps flattened; ``edge_weight`` :math:`(E)`:
          cosines, from :math:`[-1, 1]` to :math:`[0, 1]`

    Raises:
        ValueError: If ``k`` is below 1, the module is unknown, or samples differ in shape.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from graphkit.adapters import TwoSampleGraphAdapter
        >>> adapter = TwoSampleGraphAdapter(nn.Linear(4, 3), k=2)
        >>> graph = adapter(torch.rand(5, 4), torch.rand(3, 4))
        >>> graph.x.shape, graph.y.tolist()
        (torch.Size([8, 3]), [1, 1, 1, 1, 1, 0, 0, 0])
    """

    schema = Schema(
        node="a sample, real ones first",
        edge="nearest neighbours in the network's features; weight: cosine, in [0, 1]",
        attributes={
            "x": ("N", "F"),
            "y": ("N",),
            "edge_index": (2, "E"),
            "edge_weight": ("E",),
        },
        undirected=True,
        y="1 of a real sample, 0 of a generated one",
    )

    def __init__(self, network: nn.Module, layer: str = "", k: int = 5) -> None:
        super().__init__()
        refuse_class("network", network)
        if k < 1:
            raise ValueError(f"'k' must be at least 1, got {k}")
        self.network, self.layer, self.k = network, layer, k
        with tap(network, layer) as record:
            record.clear()  # Only to have an unknown name refused now.

    @torch.no_grad()
    def forward(self, real: Tensor, fake: Tensor) -> Data:
        """The graph of two sets of samples.

        Args:
            real (torch.Tensor): Real samples.
            fake (torch.Tensor): Generated ones.
        """
        if real.shape[1:] != fake.shape[1:]:
            raise ValueError(
                f"'real' has samples of shape {list(real.shape[1:])}, 'fake' of "
                f"{list(fake.shape[1:])}"
            )
        seen = []
        # One after the other: neither may change what the network makes of the other.
        for samples in (real, fake):
            with evaluating(self.network), tap(self.network, self.layer) as record:
                self.network(samples)
            seen.append(features(dict(record), self.layer).flatten(1))
        x = torch.cat(seen)
        edge_index, weight = near(x, self.k)
        kind = torch.ones(len(x), dtype=torch.long, device=x.device)
        kind[len(real) :] = 0
        return Data(
            x=x.float(), y=kind, edge_index=edge_index, edge_weight=weight, num_nodes=len(x)
        )
