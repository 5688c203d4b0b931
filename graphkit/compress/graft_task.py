"""What a Trainer needs to train one hybrid of a NetGraft."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from graphkit.catalog import no_method
from graphkit.compress.netgraft import graft_loss
from graphkit.train.task import ShardedTask, Share, is_idle

__all__ = ["GraftTask"]


@no_method("trains a hybrid of NetGraft for a Trainer, no method of its own")
class GraftTask(ShardedTask):
    """The logits of a hybrid towards the teacher's, on a few samples without labels.

    Args:
        x (torch.Tensor): The samples, or the features of all nodes of a graph.
        grafted (sequence of bool): The hybrid of :class:`NetGraft` to train.
        steps (int, optional): Steps per epoch. (default: :obj:`100`)
        batch_size (int, optional): Samples per step. (default: all)
        rows (torch.Tensor, optional): In a graph: the nodes whose logits count; all nodes are
            seen. (default: all)
        augment (callable, optional): Samples to changed samples, for both networks alike.
        normalize (bool, optional): See :func:`graft_loss`. (default: :obj:`True`)
        metrics (callable, optional): ``model -> {name: value}``, after every epoch.
        **context: What the blocks take beside the samples, such as ``edge_index``.

    Raises:
        ValueError: If there is no sample, or a number is below 1.

    Example:
        >>> import torch
        >>> from graphkit.compress import GraftTask
        >>> task = GraftTask(torch.rand(7, 2), (True, False), steps=3, batch_size=4)
        >>> [len(rows) for (rows,) in task.batches(seed=0)]
        [4, 3, 4]
    """

    def __init__(
        self,
        x: Tensor,
        grafted: Sequence[bool],
        steps: int = 100,
        batch_size: int | None = None,
        rows: Tensor | None = None,
        augment: Callable[[Tensor], Tensor] | None = None,
        normalize: bool = True,
        metrics: Callable[[nn.Module], dict[str, float]] | None = None,
        **context: Any,
    ) -> None:
        number = torch.arange(len(x), device=x.device)
        self.samples = number if rows is None else number[rows]
        if not len(self.samples):
            raise ValueError("there is no sample to distil with: 'x' or 'rows' is empty")
        batch_size = len(self.samples) if batch_size is None else batch_size
        if min(steps, batch_size) < 1:
            raise ValueError(
                f"'steps' and 'batch_size' must be at least 1, got {steps} and {batch_size}"
            )
        self.x, self.grafted, self.steps, self.batch_size = x, grafted, steps, batch_size
        self.whole = rows is not None or bool(context)
        self.augment, self.normalize, self.metrics = augment, normalize, metrics
        self.context = context

    def batches(self, seed: int) -> Iterator[Share]:
        generator = torch.Generator().manual_seed(seed)
        left: list[Tensor] = []
        for _ in range(self.steps):
            if not left:
                order = torch.randperm(len(self.samples), generator=generator)
                left = list(order.split(self.batch_size))[::-1]
            places, idle = self.mine(left.pop())
            yield Share.of([self.samples[places.to(self.samples.device)]], idle)

    def loss(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        (rows,) = batch
        x = self.x if self.whole else self.x[rows]
        x = x if self.augment is None else self.augment(x)
        with torch.no_grad():
            target = model(x, grafted=[False] * len(self.grafted), **self.context)
        logits = model(x, grafted=self.grafted, **self.context)
        if self.whole:
            logits, target = logits[rows], target[rows]
        loss = graft_loss(logits, target, self.normalize)
        return loss * 0.0 if is_idle(batch) else loss

    def size(self, batch: tuple[Tensor, ...]) -> int:
        return 0 if is_idle(batch) else len(batch[0])

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return {} if self.metrics is None else self.metrics(model)

    def to(self, device: torch.device) -> GraftTask:
        self.x, self.samples = self.x.to(device), self.samples.to(device)
        self.context = {
            name: value.to(device) if isinstance(value, Tensor) else value
            for name, value in self.context.items()
        }
        return self
