"""The graph-level classifier of factor graphs."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit import ops
from graphkit.catalog import method
from graphkit.nn.conv.factor_conv import inverse_root_degree
from graphkit.ops.checks import as_edge_index


@method(
    paper="arXiv:2010.05421",
    title="Factorizable Graph Convolutional Networks",
    authors="Yiding Yang, Zunlei Feng, Mingli Song, Xinchao Wang",
    venue="NeurIPS 2020",
    year=2020,
    code="https://github.com/ihollywhy/FactorGCN.PyTorch",
    licence="MIT",
    takes="projected features, edges, and a gate per edge and factor",
    gives="a loss: how badly the factor graphs can be told apart",
    deviations=[
        "the paper leaves the graph encoder open; this is the one of the released code",
    ],
    verified_by="tests/golden_checks/factor_conv.py",
    limits=[
        "alone: gates that keep all edges or none satisfy it",
    ],
)
class FactorDiscriminator(nn.Module):
    r"""The discriminator of the `"Factorizable Graph Convolutional Networks"
    <https://arxiv.org/abs/2010.05421>`_ paper: from which factor is this graph?

    .. math::
        \mathbf{Z}^k &= \tanh\left( \mathbf{A}_k \mathbf{D}^{-1/2} \left( \tanh\left(
        \mathbf{A}_k \mathbf{D}^{-1/2} (\mathbf{H} \mathbf{U}_1) \right) \mathbf{U}_2 \right)
        \right), \qquad \mathbf{g}^k_b = \tanh \frac{1}{|V_b|} \sum_{i \in V_b} \mathbf{z}^k_i

        \mathcal{L} &= -\frac{1}{B K} \sum_{b, k} \log \operatorname{softmax}_k
        \left( \mathbf{C} \mathbf{g}^k_b \right)

    with the gates in :math:`\mathbf{A}_k`, the in-degrees :math:`\mathbf{D}` of the input
    graph, and :math:`b` running over the graphs of the batch; biases are left out above.  The
    layer and the discriminator minimise the same loss.

    The loss does not keep factors from collapsing: "all edges" and "no edges" are easily told
    apart, see :class:`~graphkit.nn.FactorBalance`.  With one factor it is zero and nothing is
    computed.  Memory is :math:`\mathcal{O}(N K F)`, time :math:`\mathcal{O}(E K F)`.

    Args:
        channels (int): Size :math:`F` of the projected features.
        num_factors (int): Number of factors :math:`K`.
        variant (str, optional): :obj:`"released"` rounds the degrees' roots to float32, as the
            released code does also in float64; nothing else differs from :obj:`"paper"`.
            (default: :obj:`"paper"`)

    Shapes:
        - **input:** features :math:`(N, F)`, edges :math:`(2, E)`, gates :math:`(E, K)`, the
          graph of each node :math:`(N)`
        - **output:** a scalar

    Raises:
        ValueError: If a shape does not fit.
        TypeError: If the edges are not integers.
        IndexError: If an edge names a node that is not there.

    Example:
        >>> import torch
        >>> from graphkit.nn import FactorConv, FactorDiscriminator
        >>> conv = FactorConv(4, 8, num_factors=2, return_factors=True)
        >>> discriminator = FactorDiscriminator(4, num_factors=2)
        >>> x, edge_index = torch.rand(3, 4), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> out, gate = conv(x, edge_index)
        >>> loss = discriminator(conv.project(x), edge_index, gate)
        >>> loss.shape
        torch.Size([])
    """

    def __init__(
        self,
        channels: int,
        num_factors: int,
        variant: Literal["paper", "released"] = "paper",
    ) -> None:
        super().__init__()
        if variant not in ("paper", "released"):
            raise ValueError(f"'variant' must be 'paper' or 'released', got {variant!r}")
        self.single = variant == "released"
        for name, value in (("channels", channels), ("num_factors", num_factors)):
            if value < 1:
                raise ValueError(f"'{name}' must be at least 1, got {value}")
        self.channels, self.num_factors = channels, num_factors
        self.lin1 = nn.Linear(channels, max(channels // 2, 1))
        self.lin2 = nn.Linear(max(channels // 2, 1), channels)
        self.classifier = nn.Linear(channels, num_factors)

    def reset_parameters(self) -> None:
        """Draws all parameters anew."""
        for lin in (self.lin1, self.lin2, self.classifier):
            lin.reset_parameters()

    def forward(
        self, h: Tensor, edge_index: Tensor, gate: Tensor, batch: Tensor | None = None
    ) -> Tensor:
        """The cross entropy of the factors' numbers, averaged over graphs and factors.

        Args:
            h (torch.Tensor): Projected node features.
            edge_index (torch.Tensor): Edges.
            gate (torch.Tensor): Gates of all factors.
            batch (torch.Tensor, optional): The graph of each node.
                (default: one graph)
        """
        if self.num_factors == 1:
            return h.sum() * 0.0
        logits = self.classifier(self.embed(h, edge_index, gate, batch))
        labels = torch.arange(self.num_factors, device=h.device).repeat(logits.size(0))
        return F.cross_entropy(logits.flatten(0, 1), labels)

    def embed(
        self, h: Tensor, edge_index: Tensor, gate: Tensor, batch: Tensor | None = None
    ) -> Tensor:
        """One vector per graph and factor, ``[B, K, F]``."""
        edges = as_edge_index(edge_index)
        if h.dim() != 2 or h.size(1) != self.channels:
            raise ValueError(f"'h' must have shape [N, {self.channels}], got {list(h.shape)}")
        if gate.shape != (edges.size(1), self.num_factors):
            raise ValueError(
                f"'gate' must have shape [{edges.size(1)}, {self.num_factors}], "
                f"got {list(gate.shape)}"
            )
        batch = edges.new_zeros(h.size(0)) if batch is None else batch
        scale = inverse_root_degree(edges, h, self.single)
        shared = (self.lin1(h) * scale).unsqueeze(1).expand(-1, self.num_factors, -1)
        z = ops.spmm(edges, gate, shared).tanh()
        z = ops.spmm(edges, gate, self.lin2(z) * scale.unsqueeze(1)).tanh()
        graphs = int(batch[-1]) + 1 if batch.numel() else 0
        return ops.segment_reduce(z, batch, graphs, "mean").tanh()
