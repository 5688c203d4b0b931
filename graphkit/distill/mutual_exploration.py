"""Two networks that learn together, each with half of its features away from the other's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.catalog import method, no_method
from graphkit.distill.distiller import features
from graphkit.distill.losses.inheritance_exploration import InheritanceExploration
from graphkit.distill.losses.soft_target import SoftTargetLoss
from graphkit.lopsided import watch_terms
from graphkit.modes import evaluating
from graphkit.taps import Call, tap
from graphkit.train import TensorTask
from graphkit.train.task import Share
from graphkit.words import refuse_classes

__all__ = ["MutualExploration", "MutualTask"]


@method(
    paper="arXiv:2107.00181",
    title="Revisiting Knowledge Distillation: An Inheritance and Exploration Framework",
    authors="Zhen Huang, Xu Shen, Jun Xing, Tongliang Liu, Xinmei Tian, Houqiang Li, Bing Deng, "
    "Jianqiang Huang, Xian-Sheng Hua",
    venue="CVPR 2021",
    year=2021,
    code="https://github.com/yellowtownhz/IE-KD",
    licence="none",
    takes="two networks of any kind, samples with labels",
    gives="both trained",
    deviations=[
        "written from summaries; the released program of the mutual form has no inheritance and "
        "no exploration: only cross entropy and divergence",
        "each network's auto-encoder learns along with it",
        "without turns both networks are updated in one step",
    ],
    verified_by="tests/distill/test_mutual_exploration.py",
)
class MutualExploration(nn.Module):
    r"""IE-DML of the `"Revisiting Knowledge Distillation: An Inheritance and Exploration
    Framework" <https://arxiv.org/abs/2107.00181>`_ paper: two untrained networks, each the
    teacher of the other.

    .. math::
        \mathcal{L}_i = \mathrm{CE}(z_i, y) + \mu\, D_{KL}(p_j \,\Vert\, p_i) +
        \lambda_{inh}\, d(E_I(f_i^{inh}), F_j) - \lambda_{exp}\, d(E_E(f_i^{exp}), F_j)

    with :class:`InheritanceExploration`'s last two terms. No gradient goes from one network's
    loss to the other. The paper updates them in turns, which :class:`MutualTask` does in a
    :class:`~graphkit.train.Trainer`; a step costs both forward passes either way. Called, it
    gives both outputs.

    Args:
        first, second (torch.nn.Module): The networks; their outputs are logits.
        layers (tuple of str): The module of last features in each.
        channels (tuple of int): The channels of those features.
        divergence (float, optional): :math:`\mu`. (default: :obj:`1.0`)
        **options: What :class:`InheritanceExploration` takes.

    Shapes:
        - **input:** what the networks take
        - **output:** a tuple of both outputs :math:`(N, K)`

    Raises:
        ValueError: If a module is unknown, both networks are one, there is no sample, or logits,
            labels or features do not fit.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GAT, GCN
        >>> from graphkit.distill import MutualExploration
        >>> model = MutualExploration(
        ...     GCN(8, 16, 2, 3), GAT(8, 32, 2, 3), ("convs.0", "convs.0"), (16, 32), spatial=False)
        >>> x, edge_index = torch.rand(6, 8), torch.tensor([[0, 1, 2, 3], [1, 0, 0, 1]])
        >>> model.loss(x, edge_index, y=torch.tensor([0, 1, 2, 0, 1, 2])).backward()
    """

    def __init__(
        self,
        first: nn.Module,
        second: nn.Module,
        layers: tuple[str, str],
        channels: tuple[int, int],
        divergence: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__()
        refuse_classes(first=first, second=second)
        if first is second:
            raise ValueError("'first' and 'second' are one network; give each its own")
        if len(layers) != 2 or len(channels) != 2:
            raise ValueError(f"'layers' and 'channels' must be two each, got {layers}, {channels}")
        if divergence < 0:
            raise ValueError(f"'divergence' must not be negative, got {divergence}")
        self.networks, self.layers = nn.ModuleList([first, second]), tuple(layers)
        self.losses = nn.ModuleList(
            InheritanceExploration(mine, other, moving=True, **options)
            for mine, other in (channels, channels[::-1])
        )
        self.divergence, self.soft = divergence, SoftTargetLoss(1.0)
        for network, layer in zip(self.networks, self.layers, strict=True):
            with tap(network, layer):
                continue

    def forward(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Both outputs."""
        first, second = (network(*args, **kwargs) for network in self.networks)
        return first, second

    def loss(
        self,
        *args: Any,
        y: Tensor,
        rows: Tensor | None = None,
        turn: int | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """The objective on what the networks take.

        Args:
            *args, **kwargs: What they take.
            y (torch.Tensor): The classes, of the samples that count.
            rows (torch.Tensor, optional): The samples that count, such as some nodes of a graph.
                (default: all)
            turn (int, optional): The network that learns, 0 or 1, while the other one, in
                evaluation mode, stays as it is. (default: both)
        """
        if turn not in (None, 0, 1):
            raise ValueError(f"'turn' must be 0, 1 or None, got {turn!r}")
        if not len(y):
            raise ValueError("'y' holds no sample; give at least one")
        seen = [self.look(place, turn in (None, place), args, kwargs, rows) for place in (0, 1)]
        learners = (0, 1) if turn is None else (turn,)
        return torch.stack([self.term(place, seen, y) for place in learners]).sum()

    def look(
        self, place: int, learns: bool, args: Any, kwargs: Any, rows: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The logits and features of one network."""
        network, layer = self.networks[place], self.layers[place]
        if learns:
            record = self.call(network, layer, args, kwargs)
        else:
            with torch.no_grad(), evaluating(network):
                record = self.call(network, layer, args, kwargs)
        logits, inner = features(record, ""), features(record, layer)
        return (logits, inner) if rows is None else (logits[rows], inner[rows])

    def call(self, network: nn.Module, layer: str, args: Any, kwargs: Any) -> dict[str, Call]:
        """What the network and its layer returned."""
        with tap(network, "", layer) as record:
            network(*args, **kwargs)
        return dict(record)

    def term(self, place: int, seen: list[tuple[Tensor, Tensor]], y: Tensor) -> Tensor:
        """The loss of one network; the other one gets no gradient."""
        (logits, inner), (wanted, theirs) = seen[place], (t.detach() for t in seen[1 - place])
        labels, apart = F.cross_entropy(logits, y), cast(InheritanceExploration, self.losses[place])
        imitation, explored = self.soft(logits, wanted), apart(inner, theirs)
        heaviest = max(apart.inheritance, apart.exploration, 1.0)
        watch_terms(
            apart,
            {
                "labels": (1.0, labels),
                "divergence": (self.divergence, imitation),
                "inheritance' and 'exploration": (heaviest, explored / heaviest),
            },
            self.networks[place].parameters(),
        )
        return labels + self.divergence * imitation + explored


@no_method("trains MutualExploration in turns for a Trainer")
class MutualTask(TensorTask):
    """Every batch twice: first for the first network, then for the second.

    Args:
        tensors (tuple of torch.Tensor): One row per sample.
        loss (callable): ``(model, *rows, turn) -> mean loss``.
        batch_size (int, optional): As for :class:`~graphkit.vision.TensorTask`.
        metrics (callable, optional): ``model -> {name: value}``, after every epoch.

    Example:
        >>> import torch
        >>> from graphkit.distill import MutualTask
        >>> task = MutualTask((torch.rand(3, 2),), lambda m, x, turn: m(x, turn), batch_size=2)
        >>> [(len(x), turn) for x, turn in task.batches(seed=0)]
        [(2, 0), (2, 1), (1, 0), (1, 1)]
    """

    def batches(self, seed: int) -> Iterator[Share]:
        for batch in super().batches(seed):
            for turn in (0, 1):
                parts: tuple[Any, ...] = (*batch, turn)
                yield Share.of(parts, batch.idle)
