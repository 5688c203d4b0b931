"""What a Trainer needs to train on rows of tensors."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from graphkit.train import Task

__all__ = ["TensorTask"]


class TensorTask(Task):
    """Mini-batches of rows of some tensors, under any loss.

    Args:
        tensors (tuple of torch.Tensor): Inputs, labels and whatever the loss takes, one row per
            sample.
        loss (callable): ``(model, *rows) -> mean loss``.
        batch_size (int, optional): Rows per step, over all processes. (default: :obj:`64`)
        metrics (callable, optional): ``model -> {name: value}``, after every epoch.
            (default: none)

    Raises:
        ValueError: If there is no row, or the tensors differ in length.

    Example:
        >>> import torch
        >>> from graphkit.train import Trainer
        >>> from graphkit.vision import TensorTask
        >>> x = torch.rand(32, 3)
        >>> task = TensorTask((x, x.sum(1)), lambda m, x, y: (m(x)[:, 0] - y).square().mean())
        >>> model = torch.nn.Linear(3, 1)
        >>> optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        >>> trainer = Trainer(epochs=2, monitor=None, progress=False)
        >>> trainer.fit(model, optimizer, task).epochs
        2
    """

    def __init__(
        self,
        tensors: tuple[Tensor, ...],
        loss: Callable[..., Tensor],
        batch_size: int = 64,
        metrics: Callable[[nn.Module], dict[str, float]] | None = None,
    ) -> None:
        sizes = [len(tensor) for tensor in tensors]
        if not sizes or min(sizes) != max(sizes) or sizes[0] == 0:
            raise ValueError(f"'tensors' must have the same number of rows, above 0, got {sizes}")
        if batch_size < 1:
            raise ValueError(f"'batch_size' must be at least 1, got {batch_size}")
        self.tensors, self.criterion, self.metrics = tensors, loss, metrics
        self.batch_size, self.rank, self.world_size = batch_size, 0, 1

    def batches(self, seed: int) -> Iterator[tuple[Tensor, ...]]:
        count = len(self.tensors[0])
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
        for chosen in order.split(self.batch_size):
            rows = chosen[self.rank :: self.world_size].to(self.tensors[0].device)
            yield tuple(tensor[rows if len(rows) else chosen[:1]] for tensor in self.tensors)

    def loss(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        return self.criterion(model, *batch)

    def size(self, batch: tuple[Tensor, ...]) -> int:
        return len(batch[0])

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return {} if self.metrics is None else self.metrics(model)

    def shard(self, rank: int, world_size: int) -> TensorTask:
        part = copy.copy(self)
        part.rank, part.world_size = rank, world_size
        return part

    def to(self, device: torch.device) -> TensorTask:
        self.tensors = tuple(tensor.to(device) for tensor in self.tensors)
        return self
