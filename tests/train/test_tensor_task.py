"""Rows of tensors, shared out among processes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from graphkit import vision
from graphkit.testing import TaskSuite
from graphkit.train import TensorTask


class TestTensorTask(TaskSuite):
    def make(self):
        x = torch.rand(10, 3, dtype=torch.double)
        return TensorTask((x, x.sum(1)), lambda m, x, y: (m(x)[:, 0] - y).square().mean(), 4)

    def make_model(self):
        return nn.Linear(3, 1).double()


def test_each_row_comes_once_with_the_others_of_its_sample() -> None:
    x = torch.arange(10.0).view(10, 1)
    task = TensorTask((x, x[:, 0]), lambda model, a, b: (a[:, 0] - b).sum(), batch_size=4)
    rows, labels = (torch.cat(column) for column in zip(*task.batches(3), strict=True))
    assert sorted(labels.tolist()) == list(range(10))
    assert torch.equal(rows[:, 0], labels)
    assert not torch.equal(labels, torch.cat([rows[1] for rows in task.batches(4)]))


def test_wrong_arguments_are_named() -> None:
    x = torch.rand(10, 1)
    with pytest.raises(ValueError, match="rows"):
        TensorTask((x, x[:3]), lambda *_: x.sum())
    with pytest.raises(ValueError, match="batch_size"):
        TensorTask((x,), lambda *_: x.sum(), batch_size=0)


def test_a_plain_tuple_is_a_batch_too() -> None:
    x = torch.rand(4, 2)
    task = TensorTask((x,), lambda model, x: model(x).sum())
    model = nn.Linear(2, 1)
    assert torch.equal(task.loss(model, (x,)), model(x).sum())
    assert task.size((x,)) == 4


def test_vision_still_has_it() -> None:
    assert vision.TensorTask is TensorTask
