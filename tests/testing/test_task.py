"""The task suite on a sound task, and on one fault per check."""

from __future__ import annotations

import copy

import torch
from torch import nn

from graphkit.testing import TaskSuite
from graphkit.train import TensorTask
from tests.testing.faults import FaultList


def loss(model, x, y):
    return (model(x)[:, 0] - y).square().mean()


class Rows(TensorTask):
    """Ten rows, four at a time."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(10, 3, generator=generator, dtype=torch.double)
        super().__init__((x, x.sum(1)), loss, batch_size=4, metrics=self.judge)

    def judge(self, model):
        return {"loss": float(loss(model, *self.tensors))}


class RowSuite(TaskSuite):
    kind = Rows

    def make(self):
        return self.kind()

    def make_model(self):
        return nn.Linear(3, 1).double()


class TestRows(RowSuite):
    """A sound task passes."""


FAULTS = FaultList(lambda kind: type(f"{kind.__name__}Suite", (RowSuite,), {"kind": kind}))


@FAULTS.caught_by("loss")
class OneLossPerRow(Rows):
    def loss(self, model, batch):
        return super().loss(model, batch).expand(3)


@FAULTS.caught_by("loss")
class Constant(Rows):
    def loss(self, model, batch):
        return super().loss(model, batch).detach()


@FAULTS.caught_by("same_steps", "shares_make_up_the_whole")
class SkipsEmptyShares(Rows):
    def batches(self, seed):
        return (batch for batch in super().batches(seed) if not batch.idle)


@FAULTS.caught_by("shares_make_up_the_whole")
class CountsAStandIn(Rows):
    def size(self, batch):
        return len(batch[0])


@FAULTS.caught_by("shares_make_up_the_whole")
class EveryProcessDrawsItsOwn(Rows):
    def batches(self, seed):
        return super().batches(seed + self.rank)


@FAULTS.caught_by("shares_make_up_the_whole")
class AddsUp(Rows):
    def loss(self, model, batch):
        return super().loss(model, batch) * len(batch[0])


@FAULTS.caught_by("sharding_leaves_the_task_alone")
class ShardsItself(Rows):
    def shard(self, rank, world_size):
        self.rank, self.world_size = rank, world_size
        return copy.copy(self)


@FAULTS.caught_by("seed_fixes_the_order")
class GlobalOrder(Rows):
    def batches(self, seed):
        return super().batches(int(torch.randint(1000, ())))


@FAULTS.caught_by("evaluation")
class TensorMetrics(Rows):
    def judge(self, model):
        return {"loss": loss(model, *self.tensors)}


@FAULTS.caught_by("evaluation")
class MovesTheModel(Rows):
    def judge(self, model):
        with torch.no_grad():
            model.bias.add_(1)
        return {}


@FAULTS.parametrize()
def test_fault_is_caught(kind, check):
    FAULTS.assert_caught(kind, check)


def test_every_check_has_a_fault():
    assert FAULTS.unproven(TaskSuite) == set()
