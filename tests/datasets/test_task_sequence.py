"""Task streams: classes, columns, what is visible, and a test that the future does not leak."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN, GIN, global_add_pool

from graphkit.datasets import TaskSequence, class_split, load

VISIBLE = [("task", False), ("seen", False), ("seen", True), ("all", False), ("all", True)]


def labelled_graph(num_nodes: int = 70, classes: int = 7) -> Data:
    generator = torch.Generator().manual_seed(1)
    edge_index = torch.randint(num_nodes, (2, 400), generator=generator)
    x = torch.randn(num_nodes, 4, generator=generator)
    y = torch.randperm(num_nodes, generator=generator) % classes
    return Data(x=x, edge_index=edge_index, y=y, name=torch.arange(num_nodes))


def stream(data: Data | list[Data] | None = None, size: int = 2, **kwargs: object) -> TaskSequence:
    options = {"visible": "task", "train_per_class": 3, "val_per_class": 2, **kwargs}
    return TaskSequence(labelled_graph() if data is None else data, size, **options)


class Pooled(nn.Module):
    """A graph-level model."""

    def __init__(self) -> None:
        super().__init__()
        self.gnn = GIN(4, 8, num_layers=2, out_channels=6)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        return global_add_pool(self.gnn(x, edge_index), batch)


def test_tasks_have_classes_and_columns_of_their_own() -> None:
    tasks = stream(seed=4)
    assert len(tasks) == 3
    assert tasks.num_classes == 6
    seen = [label for task in tasks for label in task.classes]
    assert len(set(seen)) == 6
    for number, task in enumerate(tasks):
        assert task.columns.tolist() == [2 * number, 2 * number + 1]
        for part in ("train", "val", "test"):
            names = task.graphs[part].name[task.rows[part]]
            labels = labelled_graph().y[names].tolist()
            assert labels == [task.classes[position] for position in task.y[part].tolist()]
        assert task.y["train"].bincount().tolist() == [3, 3]
        assert task.y["val"].bincount().tolist() == [2, 2]


def test_order_and_seed() -> None:
    assert [task.classes for task in stream(class_order=[6, 1, 0, 3])] == [[6, 1], [0, 3]]
    one, same, other = (stream(seed=seed) for seed in (0, 0, 1))
    assert [t.classes for t in one] == [t.classes for t in same]
    assert torch.equal(one[0].rows["train"], same[0].rows["train"])
    assert [t.classes for t in one] != [t.classes for t in other]


@pytest.mark.parametrize(("visible", "inter"), VISIBLE)
def test_visible_nodes_and_edges_are_those_that_were_promised(visible: str, inter: bool) -> None:
    data = labelled_graph()
    tasks = stream(data, visible=visible, inter_task_edges=inter)
    number_of = torch.full((7,), -1)
    for task in tasks:
        number_of[task.classes] = task.number
    task_of = number_of[data.y]
    for task in tasks:
        nodes = {
            "task": task_of == task.number,
            "seen": (task_of >= 0) & (task_of <= task.number),
            "all": task_of >= 0,
        }[visible]
        assert task.data.name.tolist() == nodes.nonzero().view(-1).tolist()
        expected = {
            (s, t)
            for s, t in data.edge_index.t().tolist()
            if nodes[s] and nodes[t] and (inter or task_of[s] == task_of[t])
        }
        found = {tuple(edge) for edge in task.data.name[task.data.edge_index].t().tolist()}
        assert found == expected
        torch.testing.assert_close(task.data.x, data.x[task.data.name])


@pytest.mark.parametrize("setting", ["task", "class"])
@pytest.mark.parametrize(("visible", "inter"), VISIBLE)
def test_the_future_does_not_leak(visible: str, inter: bool, setting: str) -> None:
    data, model = labelled_graph(), GCN(4, 8, num_layers=2, out_channels=6).eval()
    tasks = stream(data, visible=visible, inter_task_edges=inter, setting=setting)
    for task in tasks:
        future = [label for later in tasks[task.number + 1 :] for label in later.classes]
        changed = data.clone()
        changed.x[torch.isin(data.y, torch.tensor(future, dtype=torch.long))] += 1.0
        again = stream(changed, visible=visible, inter_task_edges=inter, setting=setting)
        same = torch.equal(task.output(model), again[task.number].output(model))
        may_leak = visible == "all" and inter and task.number < len(tasks) - 1
        assert same != may_leak


def test_class_incremental_scores_all_columns_seen_so_far() -> None:
    tasks = stream(setting="class")
    assert [task.columns.numel() for task in tasks] == [2, 4, 6]
    assert tasks[2].y["train"].unique().tolist() == [4, 5]
    model = GCN(4, 8, num_layers=2, out_channels=6)
    first = tasks.view(0, 2)
    out = model.eval()(first.data.x, first.data.edge_index)[first.rows["test"]]
    expected = (out.argmax(1) == first.y["test"]).float().mean()
    assert tasks.evaluate(model, 2)[0] == expected


@pytest.mark.parametrize(("visible", "inter"), VISIBLE)
def test_a_row_of_the_performance_matrix_spelled_out(visible: str, inter: bool) -> None:
    tasks = stream(visible=visible, inter_task_edges=inter)
    model = GCN(4, 8, num_layers=2, out_channels=6, dropout=0.5).train()
    row = tasks.evaluate(model, 1)
    assert model.training
    model.eval()
    for number in range(3):
        at = tasks[max(1, number)] if visible == "seen" else tasks[number]
        names = tasks[number].graphs["test"].name[tasks[number].rows["test"]]
        rows = torch.tensor([at.data.name.tolist().index(name) for name in names.tolist()])
        out = model(at.data.x, at.data.edge_index)[rows][:, tasks[number].columns]
        expected = (out.argmax(1) == tasks[number].y["test"]).float().mean()
        assert row[number] == expected


def test_fewer_hops_leave_loss_and_gradient_as_they_are() -> None:
    data = labelled_graph()
    whole, part = stream(data, visible="all"), stream(data, visible="all", hops=2)
    model = GIN(4, 8, num_layers=2, out_channels=6).double()
    for one, other in zip(whole, part, strict=True):
        for task in (one, other):
            task.data.x = task.data.x.double()
        assert other.data.num_edges < one.data.num_edges
        losses = [task.loss(model) for task in (one, other)]
        torch.testing.assert_close(*losses)
        gradients = [torch.autograd.grad(loss, list(model.parameters())) for loss in losses]
        for left, right in zip(*gradients, strict=True):
            torch.testing.assert_close(left, right)
        assert one.graphs["test"].num_edges == other.graphs["test"].num_edges


def test_sets_of_graphs() -> None:
    graphs = [
        Data(x=torch.randn(4, 4) + i % 6, edge_index=torch.tensor([[0, 1], [1, 2]]), y=i % 6)
        for i in range(60)
    ]
    graphs = [Data(x=g.x, edge_index=g.edge_index, y=torch.tensor([g.y])) for g in graphs]
    tasks, model = stream(graphs), Pooled()
    assert tasks[1].output(model).shape == (6, 6)
    assert tasks[1].losses(model).shape == (6,)
    assert tasks.evaluate(model, 0).shape == (3,)
    first = tasks[0]
    out = model(first.data.x, first.data.edge_index, first.data.batch)
    labels = torch.tensor(
        [first.classes.index(c) for c in (torch.arange(60) % 6).tolist() if c in first.classes]
    )
    assert sorted(labels.bincount().tolist()) == [10, 10]
    assert out.size(0) == 6


def test_unbalanced_split_draws_a_total() -> None:
    tasks = stream(balanced=False)
    sizes = {part: sum(len(task.rows[part]) for task in tasks) for part in ("train", "val", "test")}
    assert sizes == {"train": 18, "val": 12, "test": 30}


def test_own_masks() -> None:
    data = labelled_graph()
    for number, part in enumerate(("train", "val", "test")):
        data[f"{part}_mask"] = data.name % 3 == number
    for task in stream(data, train_per_class=None):
        for number, part in enumerate(("train", "val", "test")):
            assert bool((task.graphs[part].name[task.rows[part]] % 3 == number).all())


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"visible": "future"}, "'visible'"),
        ({"setting": "domain"}, "'setting'"),
        ({"inter_task_edges": True}, "'inter_task_edges'"),
        ({"size": 9}, "'classes_per_task'"),
        ({"class_order": [0, 0]}, "'class_order'"),
        ({"class_order": [99, 0]}, "'class_order'"),
        ({"train_per_class": 30}, "'train_per_class'"),
        ({"train_per_class": None}, "train_mask"),
        ({"train_per_class": 12, "balanced": False}, "too few"),
        ({"hops": 0}, "'hops'"),
    ],
)
def test_errors_name_the_argument(kwargs: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stream(**kwargs)


def test_sets_of_graphs_are_checked() -> None:
    graphs = [Data(x=torch.ones(1, 1), y=torch.tensor([0, 1]))]
    with pytest.raises(ValueError, match="graph 0"):
        stream(graphs)
    with pytest.raises(ValueError, match="no graph"):
        stream([])
    with pytest.raises(ValueError, match="must be 'task'"):
        stream(graphs, visible="seen")


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr])
@pytest.mark.parametrize("visible", ["task", "seen"])
@pytest.mark.parametrize("hops", [None, 1])
def test_sparse_features_are_seen_as_dense_ones(
    layout: torch.layout, visible: str, hops: int | None
) -> None:
    dense = load("KarateClub")[0]
    dense.x = torch.rand(34, 5).round()
    sparse = dense.clone()
    sparse.x = dense.x.to_sparse(layout=layout)
    options = {"visible": visible, "train_per_class": 2, "val_per_class": 1, "hops": hops}
    ours, theirs = (TaskSequence(data, 2, **options) for data in (sparse, dense))
    for one, two in zip(ours, theirs, strict=True):
        assert one.data.x.layout == layout
        assert torch.equal(one.data.x.to_dense(), two.data.x)
        assert torch.equal(one.data.edge_index, two.data.edge_index)
        for part in ("train", "val", "test"):
            assert torch.equal(one.rows[part], two.rows[part])
    assert sparse.x.shape == (34, 5)


def test_a_column_of_masks_is_a_split() -> None:
    data = load("KarateClub")[0]
    splits = [class_split(data, 2, 1, seed=seed) for seed in range(3)]
    many = data.clone()
    for name in ("train_mask", "val_mask", "test_mask"):
        many[name] = torch.stack([split[name] for split in splits], dim=1)
    options = {"visible": "task", "train_per_class": None}
    for column, split in enumerate(splits):
        ours = TaskSequence(many, 2, split=column, **options)
        theirs = TaskSequence(split, 2, **options)
        for one, two in zip(ours, theirs, strict=True):
            assert all(torch.equal(one.rows[part], two.rows[part]) for part in one.rows)
    for wrong in (None, 3, -1):
        with pytest.raises(ValueError, match="'train_mask' holds 3 splits; 'split' must name one"):
            TaskSequence(many, 2, split=wrong, **options)
    with pytest.raises(ValueError, match="needs train_per_class=None"):
        TaskSequence(many, 2, visible="task", split=0)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (torch.rand(34), "one integer class per sample, got torch.float32.*data.y.long"),
        (torch.rand(34, 3), "LabelSequence takes several labels"),
        (torch.ones(34, dtype=torch.bool), "got torch.bool"),
        (torch.zeros(34, 1, dtype=torch.long), r"got torch.int64 \[34, 1\]"),
        (torch.full((34,), -1), "'y' holds no class"),
        (torch.zeros(33, dtype=torch.long), "'y' has 33 labels for 34 samples"),
        (None, "got None"),
    ],
)
def test_labels_that_are_no_classes_are_refused_by_name(y: Tensor | None, message: str) -> None:
    data = load("KarateClub")[0]
    data.y = y
    with pytest.raises(ValueError, match=f"'y'.*{message}|{message}"):
        TaskSequence(data, 2, visible="task", train_per_class=2, val_per_class=1)
    if y is not None and y.is_floating_point() and y.dim() == 1:
        graphs = [Data(x=torch.rand(2, 1), edge_index=torch.zeros(2, 0).long(), y=v) for v in y]
        with pytest.raises(ValueError, match="one integer class per sample"):
            TaskSequence(graphs, 2, visible="task", train_per_class=2, val_per_class=1)
