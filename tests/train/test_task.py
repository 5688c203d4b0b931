"""Tasks on graphs: many processes together train as one does."""

from __future__ import annotations

import copy

import pytest
import torch

from graphkit.testing import TaskSuite
from graphkit.train import GraphTask, NodeTask, ShardedTask
from tests.train.problems import LinearGCN, graphs, ring


class TestNodeTask(TaskSuite):
    world_sizes = (2, 3, 16)

    def make(self):
        data = ring()
        return NodeTask(data.update({"x": data.x.double()}))

    def make_model(self):
        return LinearGCN().double()


class TestGraphTask(TaskSuite):
    def make(self):
        parts = [graphs(10), graphs(3), graphs(2)]
        for data in (data for part in parts for data in part):
            data.x = data.x.double()
        return GraphTask(*parts, batch_size=4)

    def make_model(self):
        return LinearGCN().double()


def test_what_is_evaluated_on_is_collated_once() -> None:
    task = GraphTask(graphs(4), graphs(3), [])
    assert task.evaluation_batches("val") is task.evaluation_batches("val")
    assert task.evaluation_batches("test") == []


def test_processes_take_turns() -> None:
    order = list(range(7))
    shares = [ShardedTask().shard(rank, 3).mine(order) for rank in range(3)]
    assert shares == [([0, 3, 6], False), ([1, 4], False), ([2, 5], False)]
    none = ShardedTask().shard(2, 3).mine(torch.tensor([5, 6]))
    assert (none[0].tolist(), none[1]) == ([5], True)


def test_a_graph_is_not_trained_on_and_tested() -> None:
    dataset = graphs(4)
    with pytest.raises(ValueError, match="'train' and 'test' share 2 graphs"):
        GraphTask(dataset, [], [dataset[1], copy.copy(dataset[2])])
    # Equal graphs are no matter: molecules repeat.
    GraphTask(dataset, [], [graph.clone() for graph in dataset])
