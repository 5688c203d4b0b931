"""The contract of a task that a :class:`~graphkit.train.Trainer` trains on, as a pytest class."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn

from graphkit.testing.asserts import assert_close
from graphkit.testing.suite import Suite, seed_everything
from graphkit.train import Task

MISSING = object()


class TaskSuite(Suite, ABC):
    """The contract of a task, above all that several processes together do what one does.

    A test supplies :meth:`make`, a task whose batches do not all divide by two or three, and
    :meth:`make_model`, a model whose output for a sample does not depend on the rest of a batch.

    Example:
        >>> import torch
        >>> from graphkit.train import TensorTask
        >>> class TestRows(TaskSuite):
        ...     def make(self):
        ...         x = torch.rand(10, 3, dtype=torch.double)
        ...         return TensorTask((x, x.sum(1)), self.loss, batch_size=4)
        ...     def make_model(self):
        ...         return torch.nn.Linear(3, 1).double()
        ...     @staticmethod
        ...     def loss(model, x, y):
        ...         return (model(x)[:, 0] - y).square().mean()
        >>> for name in TestRows.checks():
        ...     TestRows.check(name)()
    """

    world_sizes: tuple[int, ...] = (2, 3, 5)
    """Numbers of processes to try; the largest should leave some of them idle."""

    @abstractmethod
    def make(self) -> Task:
        """The task, in float64 where it can be."""

    @abstractmethod
    def make_model(self) -> nn.Module:
        """The model that is trained, of the same type."""

    def build(self) -> tuple[Task, nn.Module]:
        """A task and a seeded model in evaluation mode, so that no noise tells runs apart."""
        seed_everything()
        return self.make(), self.make_model().eval()

    def test_loss(self) -> None:
        """Losses are finite scalars that reach the model; sizes are counts of at least 0."""
        task, model = self.build()
        sizes = []
        for batch in task.batches(0):
            loss = task.loss(model, batch)
            assert loss.dim() == 0, f"shape {tuple(loss.shape)}, not a scalar"
            assert loss.isfinite(), f"loss {loss}"
            assert loss.requires_grad, "the loss does not depend on the model"
            sizes.append(task.size(batch))
        assert sizes, "an epoch without a batch"
        assert min(sizes) > 0, f"sizes {sizes}"

    def test_same_steps(self) -> None:
        """All processes take the same number of steps: one that stops waits for ever."""
        task, _ = self.build()
        for world_size in self.world_sizes:
            parts = [task.shard(rank, world_size) for rank in range(world_size)]
            steps = [len(list(part.batches(0))) for part in parts]
            assert len(set(steps)) == 1, f"{world_size} processes take {steps} steps"

    def test_shares_make_up_the_whole(self) -> None:
        """Losses and gradients of all processes, weighed by their sizes, are those of one."""
        task, model = self.build()
        for world_size in self.world_sizes:
            parts = [task.shard(rank, world_size) for rank in range(world_size)]
            steps = zip_longest(*(t.batches(0) for t in (task, *parts)), fillvalue=MISSING)
            for whole, *shares in steps:
                sizes = [part.size(b) for part, b in zip(parts, shares, strict=True)]
                size = task.size(whole)
                assert sum(sizes) == size, f"{size} samples were shared out as {sizes}"
                weighed = [
                    part.loss(model, b) * n for part, b, n in zip(parts, shares, sizes, strict=True)
                ]
                loss, total = task.loss(model, whole), torch.stack(weighed).sum() / size
                what = f"of {world_size} processes and of one"
                assert_close(total, loss, f"losses {what}", rtol=1e-5, atol=1e-7)
                for one, other in zip(_gradient(total, model), _gradient(loss, model), strict=True):
                    assert_close(one, other, f"gradients {what}", rtol=1e-4, atol=1e-6)

    def test_sharding_leaves_the_task_alone(self) -> None:
        """A share is a task of its own."""
        task, model = self.build()
        before = [float(task.loss(model, batch).detach()) for batch in task.batches(0)]
        for _ in task.shard(1, 2).batches(0):
            assert task.shard(1, 2) is not task
        after = [float(task.loss(model, batch).detach()) for batch in task.batches(0)]
        assert before == after

    def test_seed_fixes_the_order(self) -> None:
        """One seed gives the same losses again, whatever was drawn in between."""
        task, model = self.build()
        first = [float(task.loss(model, batch).detach()) for batch in task.batches(3)]
        torch.rand(7)
        again = [float(task.loss(model, batch).detach()) for batch in task.batches(3)]
        assert first == again

    def test_evaluation(self) -> None:
        """Metrics are numbers by name and leave the model as it was."""
        task, model = self.build()
        before = copy.deepcopy(model.state_dict())
        with torch.no_grad():
            metrics = task.evaluate(model)
        assert all(isinstance(value, float) for value in metrics.values()), metrics
        for name, value in model.state_dict().items():
            assert torch.equal(value, before[name]), f"evaluation changed {name}"


def _gradient(value: Tensor, model: nn.Module) -> list[Any]:
    """The gradient of every parameter, zeros where there is none."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return list(
        torch.autograd.grad(
            value, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
        )
    )
