"""Streams of labels: columns, missing labels, and a test that nothing leaks."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import f1_score
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN, GIN, global_add_pool

from graphkit.datasets import LabelSequence, masked_bce, random_parts


class Pooled(nn.Module):
    """A graph-level model."""

    def __init__(self) -> None:
        super().__init__()
        self.gnn = GIN(3, 8, num_layers=2, out_channels=6)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        return global_add_pool(self.gnn(x, edge_index), batch)


def some_graphs(count: int, level: str, labels: int = 7, missing: float = 0.3) -> list[Data]:
    """Rings of four nodes; the first feature numbers the graph."""
    generator = torch.Generator().manual_seed(2)
    ring = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
    graphs = []
    for number in range(count):
        rows = 4 if level == "node" else 1
        y = torch.randint(2, (rows, labels), generator=generator).float()
        y[torch.rand(rows, labels, generator=generator) < missing] = torch.nan
        x = torch.randn(4, 3, generator=generator)
        x[:, 0] = number
        graphs.append(Data(x=x, edge_index=ring, y=y))
    return graphs


def stream(level: str = "graph", size: int = 2, **kwargs: object) -> LabelSequence:
    graphs = some_graphs(20, level)
    parts = {"train": graphs[:10], "val": graphs[10:14], "test": graphs[14:]}
    return LabelSequence(parts, size, **{"level": level, "batch_size": 4, **kwargs})


def plain_model(level: str) -> nn.Module:
    torch.manual_seed(0)
    return Pooled() if level == "graph" else GCN(3, 8, num_layers=2, out_channels=6)


def test_masked_bce_is_that_of_the_known_labels() -> None:
    torch.manual_seed(0)
    out = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    y = torch.tensor([[0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1], [1, 0, 1]]).double()
    y[0, 1] = y[1, 0] = y[1, 2] = y[4] = torch.nan
    losses = masked_bce(out, y)
    for row in range(4):
        known = [c for c in range(3) if not y[row, c].isnan()]
        terms = [-(out[row, c] if y[row, c] else -out[row, c]).sigmoid().log() for c in known]
        torch.testing.assert_close(losses[row], torch.stack(terms).mean())
    assert losses[4] == 0
    (grad,) = torch.autograd.grad(losses.sum(), out)
    assert torch.equal(grad == 0, y.isnan())
    assert torch.autograd.gradgradcheck(lambda o: masked_bce(o, y), out)
    with pytest.raises(ValueError, match=r"\[5, 3\] and \[3\]"):
        masked_bce(out, y[0])


@pytest.mark.parametrize("level", ["node", "graph"])
def test_a_task_has_its_labelled_samples_and_its_columns(level: str) -> None:
    order = [6, 0, 3, 2, 5, 1]
    tasks = stream(level, label_order=order)
    assert (len(tasks), tasks.num_labels) == (3, 6)
    graphs, model = some_graphs(20, level), plain_model(level).eval()
    for number, task in enumerate(tasks):
        assert task.labels == order[2 * number : 2 * number + 2]
        assert task.columns.tolist() == [2 * number, 2 * number + 1]
        for part, names in (("train", range(10)), ("val", range(10, 14)), ("test", range(14, 20))):
            found: dict[int, list[list[float]]] = {}
            for batch in task.batches[part]:
                owner = (
                    batch.graph.batch if level == "node" else torch.arange(batch.graph.num_graphs)
                )
                name = batch.graph.x[:, 0].view(-1, 4)[:, 0].long()[owner[batch.rows]]
                for key, row in zip(name.tolist(), batch.y.nan_to_num(-1).tolist(), strict=True):
                    found.setdefault(key, []).append(row)
            expected = {i: graphs[i].y[:, task.labels].nan_to_num(-1) for i in names}
            kept = {i: y[(y >= 0).any(1)].tolist() for i, y in expected.items()}
            assert found == {i: rows for i, rows in kept.items() if rows}
        assert task.output(model).shape == (len(task.losses(model)), 6)
        assert task.loss(model) == task.losses(model).mean()


@pytest.mark.parametrize("level", ["node", "graph"])
def test_nothing_leaks(level: str) -> None:
    """Learning a task depends on no other task's labels and on no validation or test graph."""
    graphs, model = some_graphs(20, level), plain_model(level).eval()
    plain = stream(level, label_order=range(7))
    for task in plain:
        others = [c for c in range(7) if c not in task.labels]
        changed = [graph.clone() for graph in graphs]
        for graph in changed:
            graph.y[:, others] = torch.where(graph.y[:, others] == 1, torch.nan, 1.0)
        for graph in changed[10:]:
            graph.x += 5.0
        parts = {"train": changed[:10], "val": changed[10:14], "test": changed[14:]}
        again = LabelSequence(parts, 2, level=level, batch_size=4, label_order=range(7))
        other = again[task.number]
        assert torch.equal(task.losses(model), other.losses(model))
        assert torch.equal(task.output(model), other.output(model))
        for one, two in zip(task.batches["train"], other.batches["train"], strict=True):
            assert torch.equal(one.y.isnan(), two.y.isnan())
            assert "y" not in one.graph
            assert bool((one.graph.x[:, 0] < 10).all())
        assert not torch.equal(
            plain.evaluate(model, metric=mean_out), again.evaluate(model, metric=mean_out)
        )


def mean_out(out: Tensor, y: Tensor) -> Tensor:
    """A score that reads the output alone."""
    return out.mean()


@pytest.mark.parametrize("level", ["node", "graph"])
def test_a_row_of_the_performance_matrix_spelled_out(level: str) -> None:
    tasks, model = stream(level, label_order=range(7)), plain_model(level).train()

    def negated_loss(out: Tensor, y: Tensor) -> Tensor:
        return -masked_bce(out, y).mean()

    row = tasks.evaluate(model, metric=negated_loss)
    assert model.training
    model.eval()
    for number in range(3):
        losses = []
        for graph in some_graphs(20, level)[14:]:
            inputs = (graph.x, graph.edge_index, torch.zeros(4, dtype=torch.long))
            out = model(*inputs[: 3 if level == "graph" else 2])[:, 2 * number : 2 * number + 2]
            for o, y in zip(out, graph.y[:, 2 * number : 2 * number + 2], strict=True):
                known = ~y.isnan()
                if known.any():
                    losses.append(F.binary_cross_entropy_with_logits(o[known], y[known]))
        torch.testing.assert_close(row[number], -torch.stack(losses).mean())


def test_batches_do_not_change_what_is_learned() -> None:
    model = plain_model("graph").double()
    for one, two in zip(stream(batch_size=None), stream(batch_size=3), strict=True):
        for task in (one, two):
            for batch in task.batches["train"]:
                batch.graph.x = batch.graph.x.double()
        assert len(one.batches["train"]) == 1 < len(two.batches["train"])
        gradients = [
            torch.autograd.grad(task.loss(model), list(model.parameters())) for task in (one, two)
        ]
        for left, right in zip(*gradients, strict=True):
            torch.testing.assert_close(left, right)


def test_order_and_seed() -> None:
    one, same, other = (stream(seed=seed) for seed in (0, 0, 1))
    assert [task.labels for task in one] == [task.labels for task in same]
    assert [task.labels for task in one] != [task.labels for task in other]
    assert torch.equal(one[0].batches["train"][0].graph.x, same[0].batches["train"][0].graph.x)


def test_random_parts_share_out_all_graphs() -> None:
    parts = random_parts(some_graphs(20, "graph"), 0.1, 0.25, seed=3)
    names = {part: [int(g.x[0, 0]) for g in graphs] for part, graphs in parts.items()}
    assert {part: len(graphs) for part, graphs in names.items()} == {
        "train": 13,
        "val": 2,
        "test": 5,
    }
    assert sorted(name for part in names.values() for name in part) == list(range(20))
    other = random_parts(some_graphs(20, "graph"), 0.1, 0.25, seed=4)
    assert [int(g.x[0, 0]) for g in other["test"]] != names["test"]
    for shares, count in (((0.5, 0.5), 20), ((-0.1, 0.1), 20), ((0.0, 0.1), 2)):
        with pytest.raises(ValueError, match="'test_share'"):
            random_parts(some_graphs(count, "graph"), *shares)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"level": "edge"}, "'level'"),
        ({"batch_size": 0}, "'batch_size'"),
        ({"size": 8}, "'labels_per_task'"),
        ({"label_order": [0, 0]}, "'label_order'"),
        ({"label_order": [9, 0]}, "'label_order'"),
    ],
)
def test_errors_name_the_argument(kwargs: dict[str, object], message: str) -> None:
    graphs = some_graphs(6, "graph")
    parts = {"train": graphs[:3], "val": [], "test": graphs[3:]}
    options = {"level": "graph", "size": 2, **kwargs}
    with pytest.raises(ValueError, match=message):
        LabelSequence(parts, options.pop("size"), **options)


def test_labels_are_checked() -> None:
    def made(y: Tensor | None, other: Tensor | None = None) -> LabelSequence:
        first, second = (
            Data(x=torch.ones(4, 1), edge_index=torch.zeros(2, 0, dtype=torch.long), y=labels)
            for labels in (y, y if other is None else other)
        )
        return LabelSequence({"train": [first], "val": [], "test": [second]}, 1, level="graph")

    for y, message in (
        (None, r"graph 0 of 'train': 'y' must be \[1, C\], got None"),
        (torch.zeros(2, 3), r"got \[2, 3\]"),
        (torch.full((1, 2), 2.0), "0, 1 and NaN only"),
        (torch.tensor([[0.0, torch.nan]]), r"no labelled train sample"),
    ):
        with pytest.raises(ValueError, match=message):
            made(y)
    with pytest.raises(ValueError, match="has 2 labels, others have 3"):
        made(torch.zeros(1, 3), torch.zeros(1, 2))
    with pytest.raises(ValueError, match="the keys"):
        LabelSequence({"train": []}, 1, level="graph")
    with pytest.raises(ValueError, match="no graph"):
        LabelSequence({"train": [], "val": [], "test": []}, 1, level="graph")


@pytest.mark.parametrize("level", ["node", "graph"])
def test_labels_that_are_masked_do_not_stop_an_evaluation(level: str) -> None:
    """A sample with no label, one with some, and a task without any in the whole part."""
    graphs = some_graphs(20, level)
    for graph in graphs[10:14]:
        graph.y[:, 2:4] = torch.nan
    graphs[14].y[:] = torch.nan
    parts = {"train": graphs[:10], "val": graphs[10:14], "test": graphs[14:]}
    tasks = LabelSequence(parts, 2, level=level, label_order=range(7))
    model = plain_model(level).eval()
    val, test = tasks.evaluate(model, "val"), tasks.evaluate(model)
    assert val.isnan().tolist() == [False, True, False]
    for number in range(3):
        columns = slice(2 * number, 2 * number + 2)
        outs = []
        for graph in graphs[14:]:
            inputs = (graph.x, graph.edge_index, torch.zeros(4, dtype=torch.long))
            outs.append(model(*inputs[: 3 if level == "graph" else 2])[:, columns])
        out, y = torch.cat(outs).detach(), torch.cat([graph.y[:, columns] for graph in graphs[14:]])
        known = ~y.isnan()
        expected = f1_score(y[known].numpy(), (out[known] > 0).numpy(), zero_division=0.0)
        assert test[number].item() == pytest.approx(expected)
