"""What a Trainer needs to train on noise."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from graphkit.train.task import Task
from graphkit.words import refuse_classes

__all__ = ["NoiseTask"]


class NoiseTask(Task):
    """Fresh noise in every step, under any loss: what training without data runs on.

    Args:
        noise (callable): ``(count, generator) -> noise``, from that torch generator alone, on
            the CPU.
        loss (callable): ``(model, noise) -> mean loss``.
        batch_size (int, optional): Samples per step, over all processes. (default: :obj:`64`)
        steps (int, optional): Steps of an epoch. (default: :obj:`50`)
        metrics (callable, optional): ``model -> {name: value}``, after every epoch.
            (default: none)

    Raises:
        ValueError: If ``batch_size`` or ``steps`` is below 1.

    Example:
        >>> import torch
        >>> from graphkit.train import NoiseTask, Trainer
        >>> def noise(count, generator):
        ...     return torch.randn(count, 3, generator=generator)
        >>> task = NoiseTask(noise, lambda m, z: m(z).square().mean(), steps=2)
        >>> model = torch.nn.Linear(3, 1)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> Trainer(epochs=2, monitor=None, progress=False).fit(model, optimizer, task).epochs
        2
    """

    def __init__(
        self,
        noise: Callable[[int, torch.Generator], Tensor],
        loss: Callable[[nn.Module, Tensor], Tensor],
        batch_size: int = 64,
        steps: int = 50,
        metrics: Callable[[nn.Module], dict[str, float]] | None = None,
    ) -> None:
        refuse_classes(loss=loss, noise=noise, metrics=metrics)
        for name, value in (("batch_size", batch_size), ("steps", steps)):
            if value < 1:
                raise ValueError(f"'{name}' must be at least 1, got {value}")
        self.noise, self.criterion, self.metrics = noise, loss, metrics
        self.batch_size, self.steps = batch_size, steps
        self.rank, self.world_size, self.device = 0, 1, torch.device("cpu")

    def batches(self, seed: int) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(seed)
        for _ in range(self.steps):
            # Drawn whole in every process, so that the samples do not depend on their number.
            whole = self.noise(self.batch_size, generator)
            mine = whole[self.rank :: self.world_size]
            yield (mine if len(mine) else whole[:1]).to(self.device)

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        loss = self.criterion(model, batch)
        return loss if self.size(batch) else loss * 0.0

    def size(self, batch: Tensor) -> int:
        return len(batch) if self.rank < self.batch_size else 0

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return {} if self.metrics is None else self.metrics(model)

    def shard(self, rank: int, world_size: int) -> NoiseTask:
        part = copy.copy(self)
        part.rank, part.world_size = rank, world_size
        return part

    def to(self, device: torch.device) -> NoiseTask:
        self.device = device
        return self
