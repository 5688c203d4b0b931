"""Tasks on graphs: many processes together train as one does."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from graphkit.testing import TaskSuite
from graphkit.train import GraphTask, NodeTask, ShardedTask, Task
from graphkit.train.task import Share, is_idle, memory_of
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


def tensor_of(model, data):
    return data.x[:, :3] * 1.0


def test_a_node_task_is_judged_on_its_parts() -> None:
    data = ring()
    task = NodeTask(data, forward=tensor_of)
    out, model = data.x[:, :3], LinearGCN()
    metrics = task.evaluate(model)
    assert set(metrics) == {"val_loss", "val_accuracy", "test_accuracy"}
    for part in ("val", "test"):
        mask = data[f"{part}_mask"]
        right = (out[mask].argmax(1) == data.y[mask]).float().mean().item()
        assert metrics[f"{part}_accuracy"] == pytest.approx(right)
    loss = F.cross_entropy(out[data.val_mask], data.y[data.val_mask]).item()
    assert metrics["val_loss"] == pytest.approx(loss)
    (batch,) = task.batches(0)
    assert batch is data
    trained = F.cross_entropy(out[data.train_mask], data.y[data.train_mask])
    assert torch.allclose(task.loss(model, batch), trained)
    assert task.size(batch) == int(data.train_mask.sum())


def test_other_functions_and_names_are_used() -> None:
    data = ring()

    def most(out, y):
        return (out.argmax(1) == y).sum()

    task = NodeTask(data, F.multi_margin_loss, most, "right")
    model = LinearGCN()
    with torch.no_grad():
        out, metrics = model(data.x, data.edge_index), task.evaluate(model)
    assert set(metrics) == {"val_loss", "val_right", "test_right"}
    assert metrics["test_right"] == most(out[data.test_mask], data.y[data.test_mask])
    wanted = F.multi_margin_loss(out[data.train_mask], data.y[data.train_mask])
    assert torch.equal(task.loss(model, data), wanted)


def test_a_process_without_nodes_has_no_loss_but_a_graph_of_one() -> None:
    task = NodeTask(ring()).shard(15, 16)
    assert task.size(task.data) == 0
    model = LinearGCN()
    loss = task.loss(model, task.data)
    assert loss.item() == 0
    loss.backward()
    assert model.lin.weight.grad.abs().max() == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"val_mask": None}, "data has no 'val_mask'; add a split"),
        ({"test_mask": torch.ones(30)}, r"'test_mask' must be a bool tensor of shape \[30\]"),
        ({"test_mask": torch.ones(29, dtype=torch.bool)}, r"got torch.bool of shape \[29\]"),
        ({"train_mask": torch.zeros(30, dtype=torch.bool)}, "'train_mask' selects no node"),
    ],
)
def test_wrong_masks_are_named(change, message: str) -> None:
    data = ring()
    data.update(change)
    with pytest.raises(ValueError, match=message):
        NodeTask(data)


def test_a_node_is_not_trained_on_and_tested() -> None:
    data = ring()
    data.test_mask[data.train_mask.nonzero()[:2]] = True
    with pytest.raises(ValueError, match="share 2 nodes"):
        NodeTask(data)
    # To be trained on and validated on is allowed.
    data = ring()
    data.val_mask |= data.train_mask
    assert len(NodeTask(data).splits["val"]) == int(data.val_mask.sum())


@pytest.mark.parametrize("make", [NodeTask, lambda data, **k: GraphTask(graphs(2), [], [], **k)])
@pytest.mark.parametrize("name", ["criterion", "metric"])
def test_classes_are_no_functions(make, name: str) -> None:
    with pytest.raises(TypeError, match=f"'{name}'"):
        make(ring(), **{name: torch.nn.CrossEntropyLoss})


def test_batches_of_graphs_are_drawn_by_the_seed() -> None:
    task = GraphTask(graphs(7), [], [], batch_size=3)

    def marks(task: GraphTask, seed: int) -> list[list[int]]:
        return [batch.mark.tolist() for batch in task.batches(seed)]

    assert [len(part) for part in marks(task, 0)] == [3, 3, 1]
    assert sorted(mark for part in marks(task, 0) for mark in part) == list(range(7))
    assert marks(task, 0) == marks(task, 0)
    assert marks(task, 0) != marks(task, 1)
    # Two processes share each batch; the one left over is nobody's but the first's.
    first, second = (list(task.shard(rank, 2).batches(0)) for rank in (0, 1))
    assert [batch.mark.tolist() for batch in first] == [part[::2] for part in marks(task, 0)]
    assert [batch.empty_share for batch in second] == [False, False, True]
    assert [task.size(batch) for batch in second] == [1, 1, 0]
    model = LinearGCN()
    assert task.loss(model, second[-1]).item() == 0
    assert task.loss(model, first[-1]).item() > 0
    assert len(next(iter(GraphTask(graphs(40), [], []).batches(0)))) == 32


@torch.no_grad()
def test_a_graph_task_is_judged_over_all_batches() -> None:
    val, test = graphs(520), graphs(3)
    task = GraphTask(graphs(2), val, test)
    model = LinearGCN()
    assert [batch.num_graphs for batch in task.evaluation_batches("val")] == [512, 8]
    out = torch.cat([model(g.x, g.edge_index, torch.zeros(len(g.x)).long()) for g in val])
    y = torch.cat([g.y for g in val])
    metrics = task.evaluate(model)
    assert metrics["val_loss"] == pytest.approx(F.cross_entropy(out, y).item(), rel=1e-4)
    assert metrics["val_accuracy"] == pytest.approx((out.argmax(1) == y).float().mean().item())
    assert set(metrics) == {"val_loss", "val_accuracy", "test_accuracy"}
    none = GraphTask(
        graphs(2), [], test, metric_name="score", forward=lambda m, b: m(b.x, b.edge_index, b.batch)
    )
    assert set(none.evaluate(model)) == {"test_score"}
    kept = none.evaluation_batches("test")
    assert none.to(torch.device("cpu")) is none
    assert none.evaluation_batches("test") is not kept, "collated anew on another device"


def test_graph_tasks_refuse_nothing_to_train_on() -> None:
    with pytest.raises(ValueError, match="'train' holds no graph"):
        GraphTask([], [], graphs(1))
    with pytest.raises(ValueError, match="'batch_size' must be at least 1, got 0"):
        GraphTask(graphs(1), [], [], batch_size=0)
    assert GraphTask(graphs(1), [], [], batch_size=1).batch_size == 1


def test_a_task_by_itself_promises_nothing() -> None:
    task = Task()
    assert task.to(torch.device("cpu")) is task
    for call in (
        lambda: task.batches(0),
        lambda: task.loss(None, None),
        lambda: task.size(None),
        lambda: task.evaluate(None),
        lambda: task.shard(0, 1),
    ):
        with pytest.raises(NotImplementedError):
            call()


def test_only_a_share_is_idle() -> None:
    tensors = [torch.ones(1), torch.zeros(1)]
    share = Share.of(tensors, idle=True)
    assert is_idle(share)
    assert share[1] is tensors[1]
    assert not is_idle(Share.of(tensors, idle=False))
    assert not is_idle(Share(tensors))
    assert not is_idle(tuple(tensors))


def test_memory_is_that_of_tensors_with_something_in_them() -> None:
    graph = graphs(1)[0]
    graph.note, graph.nothing = "a", torch.zeros(0)
    assert [name for name, *_ in memory_of(graph)] == ["edge_index", "mark", "x", "y"]
    assert memory_of(graph) == memory_of(copy.copy(graph))
    assert memory_of(graph) != memory_of(graph.clone())
    # Graphs without anything are not the same graph.
    empty = [type(graph)(x=torch.zeros(0, 4), edge_index=torch.zeros(2, 0).long()) for _ in "ab"]
    GraphTask([empty[0]], [], [empty[1]])
