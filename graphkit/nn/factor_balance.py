"""graphkit's own objective against collapsed factors."""

from __future__ import annotations

from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.lopsided import watch_terms
from graphkit.ops.dtypes import is_half, widened


@method(
    paper="https://github.com/ihollywhy/FactorGCN.PyTorch",
    title="Balanced factors: graphkit's own objective for FactorGCN",
    authors="The graphkit authors",
    venue="graphkit",
    year=2026,
    code=None,
    licence="MIT",
    takes="a gate per edge and factor",
    gives="a loss: how unevenly edges are shared among factors",
    deviations=["graphkit's own, in no paper; off by default in FactorGCN"],
    verified_by="benchmarks/recipes/factorgcn-balanced-synthetic4.yaml",
    limits=[
        "five factors and more: it costs accuracy there",
        "two factors: there is one template per graph and nothing to tell apart",
    ],
)
class FactorBalance(nn.Module):
    r"""Keeps factor graphs from collapsing: **graphkit's own**, in no paper.

    The objective of the `"Factorizable Graph Convolutional Networks"
    <https://arxiv.org/abs/2010.05421>`_ paper is content when a factor holds all edges and
    another none.  This one asks that factors share the edges of a batch evenly and, weakly,
    that they share out each edge:

    .. math::
        \mathcal{L} = \lambda \sum_{k=1}^{K} \left( \bar{w}^k - \frac{1}{K} \right)^2 +
        \frac{\mu}{|\mathcal{E}|} \sum_{e \in \mathcal{E}} \left( \sum_{k=1}^{K} w^k_e - 1
        \right)^2, \qquad \bar{w}^k = \frac{1}{|\mathcal{E}|} \sum_{e \in \mathcal{E}} w^k_e

    The mean runs over the whole batch, so single graphs may use few factors.  Equal gates
    everywhere satisfy it, too: telling edges apart is left to the task.  Self loops do not
    count.  Time and memory are :math:`\mathcal{O}(E K)`.

    Args:
        usage (float, optional): Weight :math:`\lambda` of even shares. (default: :obj:`1.0`)
        cover (float, optional): Weight :math:`\mu` of one factor per edge.
            (default: :obj:`0.1`)

    Shapes:
        - **input:** gates :math:`(E, K)`, edges :math:`(2, E)`
        - **output:** a scalar, 0 without edges

    Raises:
        ValueError: If a weight is negative or the gates do not fit the edges.

    Example:
        >>> import torch
        >>> from graphkit.nn import FactorBalance
        >>> edge_index = torch.tensor([[0, 1], [1, 0]])
        >>> shared, collapsed = torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
        >>> balance = FactorBalance()
        >>> balance(shared, edge_index), balance(collapsed, edge_index)
        (tensor(0.), tensor(0.5000))
    """

    def __init__(self, usage: float = 1.0, cover: float = 0.1) -> None:
        super().__init__()
        for name, value in (("usage", usage), ("cover", cover)):
            if value < 0:
                raise ValueError(f"'{name}' must not be negative, got {value}")
        self.usage, self.cover = usage, cover

    def forward(self, gate: Tensor, edge_index: Tensor) -> Tensor:
        """How unevenly the edges are shared.

        Args:
            gate (torch.Tensor): Gates of all factors.
            edge_index (torch.Tensor): Edges.
        """
        if gate.dim() != 2 or gate.size(0) != edge_index.size(1):
            raise ValueError(
                f"'gate' must have shape [{edge_index.size(1)}, K], got {list(gate.shape)}"
            )
        if is_half(gate):
            return self.forward(widened(gate), edge_index).to(gate.dtype)
        counts = (edge_index[0] != edge_index[1]).to(gate.dtype)
        total = counts.sum().clamp(min=1)
        mean = (counts @ gate) / total
        uneven = (mean - 1 / gate.size(1)).square().sum() * (counts.sum() > 0)
        surplus = (counts * (gate.sum(1) - 1).square()).sum() / total
        terms = {"usage": (self.usage, uneven), "cover": (self.cover, surplus)}
        watch_terms(self, terms, [gate])
        return self.usage * uneven + self.cover * surplus

    def extra_repr(self) -> str:
        return f"usage={self.usage}, cover={self.cover}"
