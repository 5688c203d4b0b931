"""The hybrids of two networks as a lattice, from the teacher to the student."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from torch_geometric.data import Data
from torch_geometric.utils import to_networkx

from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.compress.block_net import beside
from graphkit.compress.netgraft import NetGraft
from graphkit.modes import frozen
from graphkit.precision import normalize

__all__ = ["GraftLatticeAdapter", "graft_order"]

FULL = 6


class GraftLatticeAdapter(GraphAdapter):
    r"""The hybrids of a :class:`~graphkit.compress.NetGraft`, linked by grafting one more block.

    .. math::
        y_m = \frac{1}{n} \sum_i \lVert \hat f_m(x_i) - \hat f_0(x_i) \rVert^2, \qquad
        w_{m m'} = \frac{1}{n} \sum_i \lVert \hat f_m(x_i) - \hat f_{m'}(x_i) \rVert^2

    of normalised logits. Up to 6 blocks all :math:`2^B` hybrids are nodes, the teacher's number
    is 0, and the first block is the most significant bit; beyond that the caller names the
    hybrids. Paths from the teacher to the student are orders of grafting, :func:`graft_order` is
    the shortest. All hybrids of a prefix share its features: with all of them time grows with
    :math:`2^{B+1}` blocks, not :math:`B\, 2^B`. Memory grows with hybrids times logits.

    Args:
        net (NetGraft): Teacher, student and adapters.

    Shapes:
        - **input:** samples :math:`(n, *)`, edges between them :math:`(2, e)` (optional), labels
          :math:`(n)` (optional), hybrids :math:`(N, B)` (optional)
        - **output:** ``x`` :math:`(N, B + 2)`: which blocks are the student's, parameters and
          multiplications as a share of the teacher's, adapters included; ``score`` :math:`(N)`:
          accuracy on the labels, without labels agreement with the teacher

    Raises:
        ValueError: If hybrids must be named and are not, or shapes do not fit.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from graphkit.adapters import GraftLatticeAdapter, graft_order
        >>> from graphkit.compress import NetGraft
        >>> def net(width):
        ...     return nn.Linear(4, width), nn.Linear(width, width), nn.Linear(width, 3)
        >>> x = torch.rand(10, 4)
        >>> graph = GraftLatticeAdapter(NetGraft(net(16), net(4), x))(x)
        >>> graph.x.shape, graph.edge_index.shape
        (torch.Size([8, 5]), torch.Size([2, 12]))
        >>> sorted(graft_order(graph))
        [0, 1, 2]
    """

    schema = Schema(
        node="a hybrid: some blocks are the student's, the rest the teacher's",
        edge="from a hybrid to one with one more block grafted; weight: how far the logits move",
        attributes={
            "x": ("N", "D"),
            "y": ("N",),
            "score": ("N",),
            "visited": ("N",),
            "edge_index": (2, "E"),
            "edge_weight": ("E",),
        },
        y="squared distance of the normalised logits from the teacher's, as measured on the input",
    )

    def __init__(self, net: NetGraft) -> None:
        super().__init__()
        self.net = net

    @torch.no_grad()
    def forward(
        self,
        x: Tensor,
        edge_index: Tensor | None = None,
        labels: Tensor | None = None,
        hybrids: Tensor | None = None,
        visited: Tensor | None = None,
        rows: Tensor | None = None,
        **context: Any,
    ) -> Data:
        """The lattice, as measured on some samples.

        Args:
            x (torch.Tensor): The samples, or the features of all nodes of a graph.
            edge_index (torch.Tensor, optional): The edges, for message passing.
            labels (torch.Tensor, optional): Their classes.
            hybrids (torch.Tensor, optional): The hybrids that become nodes.
                (default: all)
            visited (torch.Tensor, optional): The hybrids that were trained,
                ``torch.tensor(net.stages())`` after the whole procedure. (default: none)
            rows (torch.Tensor, optional): The nodes of the graph to measure on. (default: all)
            **context: What else the blocks take.
        """
        blocks = len(self.net.teacher)
        if hybrids is None:
            hybrids = self.everything(x.device)
        visited = hybrids[:0] if visited is None else visited
        for name, given in (("hybrids", hybrids), ("visited", visited)):
            if given.dim() != 2 or given.size(1) != blocks:
                raise ValueError(f"'{name}' must be [N, {blocks}], got {list(given.shape)}")
        hybrids, visited = hybrids.bool(), visited.bool()
        context = beside(edge_index, context)
        # The teacher, the hybrid of no graft, goes along as the last row, to be compared with.
        with frozen(self.net):
            every = torch.cat([hybrids, hybrids.new_zeros(1, blocks)])
            logits = self.logits(x, every, context)
            cost = self.cost(x, context)
        logits = logits if rows is None else logits[:, rows]
        unit = normalize(logits.double(), dim=2, eps=1e-6)
        guess = logits.argmax(2)
        target = guess[-1] if labels is None else labels
        if target.shape != guess.shape[1:]:
            raise ValueError(f"'labels' has shape {list(target.shape)}, not {guess.size(1)} rows")
        # An edge adds exactly one block: one more at its end, and nothing less.
        more = hybrids.unsqueeze(0) & ~hybrids.unsqueeze(1)
        less = hybrids.unsqueeze(1) & ~hybrids.unsqueeze(0)
        ends = ((more.sum(2) == 1) & ~less.any(2)).nonzero().t().contiguous()
        samples = max(guess.size(1), 1)
        bits = hybrids.double()
        return Data(
            x=torch.cat([bits, 1 + bits @ cost], 1).float(),
            y=((unit[:-1] - unit[-1:]).square().sum((1, 2)) / samples).float(),
            score=((guess[:-1] == target).sum(1) / samples).float(),
            visited=(hybrids.unsqueeze(1) == visited).all(2).any(1),
            edge_index=ends,
            edge_weight=((unit[ends[0]] - unit[ends[1]]).square().sum((1, 2)) / samples).float(),
            num_nodes=len(hybrids),
        )

    def everything(self, device: torch.device) -> Tensor:
        """All hybrids."""
        blocks = len(self.net.teacher)
        if blocks > FULL:
            raise ValueError(
                f"{blocks} blocks have {2**blocks} hybrids; name those wanted in 'hybrids', such "
                "as torch.tensor(net.stages())"
            )
        number = torch.arange(2**blocks, device=device).unsqueeze(1)
        return number >> torch.arange(blocks - 1, -1, -1, device=device) & 1

    def logits(self, x: Tensor, hybrids: Tensor, context: dict[str, Any]) -> Tensor:
        """Outputs of hybrids ``[N, n, C]``, block by block over their common prefixes."""
        by_hybrid: dict[int, Tensor] = {}
        waiting = [(0, x, torch.arange(len(hybrids), device=hybrids.device))]
        while waiting:
            level, h, numbers = waiting.pop()
            if level == hybrids.size(1):
                by_hybrid |= dict.fromkeys(numbers.tolist(), h)
                continue
            for grafted in (False, True):
                part = numbers[hybrids[numbers, level] == grafted]
                if len(part):
                    waiting.append((level + 1, self.net.step(level, h, grafted, context), part))
        return torch.stack([by_hybrid[number] for number in range(len(hybrids))])

    def cost(self, x: Tensor, context: dict[str, Any]) -> Tensor:
        """What each grafted block adds to parameters and multiplications, as shares ``[B, 2]``."""
        blocks, net = len(self.net.teacher), self.net
        masks = [
            [False] * blocks,
            *([i == level for i in range(blocks)] for level in range(blocks)),
        ]
        rows = []
        for mask in masks:
            with FlopCounterMode(display=False) as counter:
                net(x, grafted=mask, **context)
            groups = [group["params"] for group in net.groups(mask, lr=0.0)]
            teachers = [net.teacher[i] for i, on in enumerate(mask) if not on]
            parameters = sum(p.numel() for group in groups for p in group)
            parameters += sum(p.numel() for block in teachers for p in block.parameters())
            rows.append([parameters, counter.get_total_flops()])
        table = torch.tensor(rows, dtype=torch.double, device=x.device)
        return (table[1:] - table[0]) / table[0].clamp(min=1)


def graft_order(graph: Data) -> list[int]:
    """Blocks in the order of the shortest path from the teacher to the student.

    Its length is the sum of ``edge_weight``: a path of small steps is shorter than one with a leap,
    since weights are squared distances. For :meth:`NetGraft.stages`.

    Args:
        graph (Data): From a :class:`GraftLatticeAdapter`, with teacher and student among its nodes.

    Raises:
        ValueError: If teacher or student is missing.
        networkx.NetworkXNoPath: If the hybrids between them are.

    Example:
        >>> import torch
        >>> x = torch.tensor([[0.0, 0, 1, 1], [0, 1, 1, 1], [1, 0, 1, 1], [1, 1, 1, 1]])
        >>> edges = torch.tensor([[0, 0, 1, 2], [1, 2, 3, 3]])
        >>> weight = torch.tensor([0.5, 0.1, 0.1, 0.2])
        >>> graft_order(Data(x=x, edge_index=edges, edge_weight=weight))
        [0, 1]
    """
    import networkx as nx

    bits = graph.x[:, :-2] > 0.5
    ends = [corner.nonzero().flatten().tolist() for corner in ((~bits).all(1), bits.all(1))]
    if not all(ends):
        raise ValueError("the graph lacks the teacher or the student: no or every block grafted")
    network = to_networkx(graph, edge_attrs=["edge_weight"])
    path = nx.shortest_path(network, ends[0][0], ends[1][0], weight="edge_weight")
    return [int((bits[a] != bits[b]).nonzero()) for a, b in pairwise(path)]
