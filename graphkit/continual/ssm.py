"""Replay of sparsified neighbourhoods."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch_geometric.utils import degree

from graphkit.catalog import method
from graphkit.continual.replay import GraphReplay, Memory


@method(
    paper="doi:10.1109/ICDM54844.2022.00177",
    title="Sparsified Subgraph Memory for Continual Graph Representation Learning",
    authors="Xikun Zhang, Dongjin Song, Dacheng Tao",
    venue="ICDM 2022",
    year=2022,
    code="https://github.com/QueuQ/SSM",
    licence="none",
    takes="a network for nodes, the graph of each task",
    gives="a loss over some nodes of each earlier task, among a few of their neighbours",
    deviations=[
        "nodes are drawn at random within each class",
        "memory and task are weighted by their sizes as in ER-GNN, not class by class",
        "neighbourhoods of one task share nodes, and all edges among the nodes that are kept stay",
    ],
    verified_by="tests/continual/test_ssm.py",
    limits=[
        "where nothing of an earlier task may be kept: it stores nodes of each",
    ],
)
class SSM(GraphReplay):
    r"""Sparsified subgraph memory from the `"Sparsified Subgraph Memory for Continual Graph
    Representation Learning" <https://doi.org/10.1109/ICDM54844.2022.00177>`_ paper.

    Of each class some training nodes are kept, each with a neighbourhood of bounded size: of every
    node's neighbours at most :math:`k_l` are drawn in step :math:`l`, in proportion to their
    degree.  What a node needs in memory no longer grows with the degrees around it:

    .. math::
        |\mathcal{B}_v| \le 1 + k_1 + k_1 k_2 + \dots, \qquad
        \mathcal{L}' = \beta \, \mathcal{L} + (1 - \beta) \, \mathcal{L}_{\mathcal{B}}

    A step costs a forward and a backward pass over the memory more; drawing costs a sort of the
    task's edges per step.

    Args:
        model (torch.nn.Module): A network ``(x, edge_index) -> [N, C]``.
        memories (int, optional): Nodes kept of each class. (default: :obj:`10`)
        neighbors (list of int, optional): :math:`k_1, k_2, \dots`, one per layer of the network.
            (default: :obj:`(5, 5)`)
        seed (int, optional): Seed of the draws. (default: :obj:`0`)

    Shapes:
        - **input:** features :math:`(N, F)`, edges :math:`(2, |\mathcal{E}|)`, training nodes
          :math:`(n)`, labels :math:`(n)`
        - **output:** what is added to the loss, a scalar

    Raises:
        ValueError: If an argument is out of range, ``see_task`` was not called before a task, or
            ``penalty`` gets no loss.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from graphkit.continual import SSM
        >>> x, ring = torch.rand(5, 4), torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 4, 0]])
        >>> model = GCN(4, 8, num_layers=2, out_channels=2)
        >>> replay = SSM(model, memories=1)
        >>> replay.see_task(x, ring, rows=torch.tensor([2]), y=torch.tensor([0]))
        >>> replay.finish_task(lambda model: model(x, ring).sum())
        >>> replay.kept[0]["edge_index"]
        tensor([[0, 1],
                [1, 2]])
    """

    def __init__(
        self,
        model: nn.Module,
        memories: int = 10,
        neighbors: Sequence[int] = (5, 5),
        seed: int = 0,
    ) -> None:
        super().__init__(model, memories, seed)
        if any(size < 0 for size in neighbors):
            raise ValueError(f"'neighbors' must be at least 0 each, got {list(neighbors)}")
        self.neighbors = tuple(neighbors)

    def choose(self, task: Memory) -> tuple[Tensor, Tensor]:
        picked = self.per_class(task, torch.zeros_like(task["rows"]))
        generator = torch.Generator().manual_seed(self.seed + self.tasks)
        nodes = frontier = picked
        for size in self.neighbors:
            frontier = drawn(frontier, task["edge_index"], len(task["x"]), size, generator)
            nodes = torch.cat([nodes, frontier])
        return picked, nodes


def drawn(
    targets: Tensor, edge_index: Tensor, num_nodes: int, size: int, generator: torch.Generator
) -> Tensor:
    """Sources of at most so many edges of each target, drawn in proportion to their degree."""
    wanted = torch.zeros(num_nodes, dtype=torch.bool, device=targets.device)
    wanted[targets] = True
    source, target = edge_index[:, wanted[edge_index[1]]]
    weight = degree(edge_index[1], num_nodes).clamp(min=1)[source]
    # The largest of log(u) / w are a draw without replacement in proportion to w.
    chance = torch.rand(len(source), generator=generator).to(weight).log() / weight
    order = chance.argsort(descending=True)
    order = order[target[order].argsort(stable=True)]
    count = degree(target, num_nodes, dtype=torch.long)
    rank = torch.arange(len(order), device=order.device) - (count.cumsum(0) - count)[target[order]]
    return source[order[rank < size]].unique()
