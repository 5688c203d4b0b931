"""Replay of experience nodes."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.continual.replay import GraphReplay, Memory
from graphkit.continual.strategy import nonnegative
from graphkit.precision import wide


@method(
    paper="arXiv:2003.09908",
    title="Overcoming Catastrophic Forgetting in Graph Neural Networks with Experience Replay",
    authors="Fan Zhou, Chengtai Cao",
    venue="AAAI 2021",
    year=2021,
    code=None,
    licence="none",
    takes="a network for nodes, the graph of each task",
    gives="a loss over some nodes of each earlier task",
    deviations=[
        "the radius of coverage is a multiple of the mean distance, not a number in the units of "
        "the features",
        "selection by influence functions is not offered",
        "edges among the nodes that are kept stay",
    ],
    verified_by="tests/continual/test_er_gnn.py",
    limits=[
        "where nothing of an earlier task may be kept: it stores nodes of each",
    ],
)
class ERGNN(GraphReplay):
    r"""Experience replay from the `"Overcoming Catastrophic Forgetting in Graph Neural Networks
    with Experience Replay" <https://arxiv.org/abs/2003.09908>`_ paper.

    Of each class some training nodes are kept and trained on again with every later task:

    .. math::
        \mathcal{L}' = \beta \, \mathcal{L} + (1 - \beta) \, \mathcal{L}_{\mathcal{B}},
        \qquad \beta = \frac{|\mathcal{B}|}{|\mathcal{B}| + n}

    ``select="mean"`` keeps those nearest to the mean features of their class,
    ``select="coverage"`` those with the fewest training nodes of other classes around them.

    A step costs a forward and a backward pass over the nodes in memory more; choosing them takes
    time and memory that grow with the square of the task's training nodes.

    Args:
        model (torch.nn.Module): A network ``(x, edge_index) -> [N, C]``.
        memories (int, optional): Nodes kept of each class. (default: :obj:`10`)
        select (str, optional): :obj:`"mean"` or :obj:`"coverage"`. (default: :obj:`"coverage"`)
        radius (float, optional): Nodes of other classes count within so many times the mean
            distance between training nodes. (default: :obj:`1.0`)
        seed (int, optional): Seed of the choice among equals. (default: :obj:`0`)

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
        >>> from graphkit.continual import ERGNN
        >>> x, ring = torch.rand(3, 4), torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> model = GCN(4, 8, num_layers=2, out_channels=2)
        >>> replay = ERGNN(model, memories=1)
        >>> replay.see_task(x, ring, rows=torch.arange(3), y=torch.tensor([0, 1, 1]))
        >>> replay.finish_task(lambda model: model(x, ring).sum())
        >>> replay.kept[0]["y"]
        tensor([0, 1])
    """

    def __init__(
        self,
        model: nn.Module,
        memories: int = 10,
        select: Literal["mean", "coverage"] = "coverage",
        radius: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(model, memories, seed)
        if select not in ("mean", "coverage"):
            raise ValueError(f"'select' must be 'mean' or 'coverage', got {select!r}")
        nonnegative(radius=radius)
        self.select, self.radius = select, radius

    def choose(self, task: Memory) -> tuple[Tensor, Tensor]:
        x, y = wide(task["x"][task["rows"]]), task["y"]
        score = from_mean(x, y) if self.select == "mean" else crowd(x, y, self.radius)
        return self.per_class(task, score), task["rows"][:0]


def from_mean(x: Tensor, y: Tensor) -> Tensor:
    """The distance of every sample from the mean of its class."""
    classes, place = y.unique(return_inverse=True)
    means = torch.stack([x[y == label].mean(dim=0) for label in classes])
    return (x - means[place]).norm(dim=1)


def crowd(x: Tensor, y: Tensor, radius: float) -> Tensor:
    """How many samples of other classes are near every sample."""
    # Double and around the mean: there distances by products, thirty times faster than by
    # differences, are right wherever the features lie.
    x = x.double() - x.double().mean(dim=0)
    distance = torch.cdist(x, x)
    near = distance <= radius * distance.mean()
    return (near & (y.view(-1, 1) != y)).sum(dim=1)
