"""What a Trainer needs to train on rows of tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from graphkit.train.task import ShardedTask, Share, is_idle
from graphkit.words import refuse_class

__all__ = ["TensorTask"]


class TensorTask(ShardedTask):
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
        >>> from graphkit.train import TensorTask, Trainer
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
        refuse_class("loss", loss)
        refuse_class("metrics", metrics)
        self.tensors, self.criterion, self.metrics = tensors, loss, metrics
        self.batch_size = batch_size

    def batches(self, seed: int) -> Iterator[Share]:
        count = len(self.tensors[0])
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
        for batch in order.split(self.batch_size):
            rows, idle = self.mine(batch)
            rows = rows.to(self.tensors[0].device)
            yield Share.of((tensor[rows] for tensor in self.tensors), idle)

    def loss(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        loss = self.criterion(model, *batch)
        return loss * 0.0 if is_idle(batch) else loss

    def size(self, batch: tuple[Tensor, ...]) -> int:
        return 0 if is_idle(batch) else len(batch[0])

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return {} if self.metrics is None else self.metrics(model)

    def to(self, device: torch.device) -> TensorTask:
        self.tensors = tuple(tensor.to(device) for tensor in self.tensors)
        return self
