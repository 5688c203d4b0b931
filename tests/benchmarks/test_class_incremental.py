"""The class-incremental protocol: what competes, what is asked, and what replay may not know."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from benchmarks.harness import recipe as recipes
from benchmarks.harness.errors import RecipeError
from benchmarks.harness.fitting import Fitter
from benchmarks.problems import class_streams, growing_classes
from benchmarks.problems.streams import make_strategy
from benchmarks.protocols import class_incremental
from benchmarks.rivals.nodes import build
from graphkit.continual import TPP, JointTrain
from graphkit.testing import TaskSuite
from graphkit.train import seed_everything

DATASET = {
    "name": "KarateClub",
    "classes_per_task": 2,
    "visible": "task",
    "train_per_class": 2,
    "val_per_class": 0,
}
MODEL = {"name": "GCN", "hidden_channels": 8, "dropout": 0.5}
TRAIN = {"epochs": 5, "lr": 0.05, "monitor": None}
ALL = (*growing_classes.LEARNED, "TPP")


def run(strategy: dict[str, object], dataset: dict[str, object] = DATASET) -> dict[str, float]:
    return class_incremental.run(dataset, MODEL, strategy, seed=0, fit=Fitter(TRAIN, 0))


def stream() -> growing_classes.TaskSequence:
    return class_streams.load(**DATASET, setting="class")


def test_the_protocol_is_a_plain_loop_in_which_all_classes_seen_compete() -> None:
    tasks = stream()
    seed_everything(0)
    model = build(MODEL, tasks[0].data.num_features, 4)
    for number, task in enumerate(tasks):
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        seed_everything(0)
        model.train()
        for _ in range(5):
            optimizer.zero_grad()
            out = model(task.data.x, task.data.edge_index)[task.rows["train"]]
            y = task.y["train"]
            F.cross_entropy(out[:, : 2 * number + 2], y).backward()
            optimizer.step()
    model.eval()
    alone, told = [], []
    for number, task in enumerate(tasks):
        out = model(task.data.x, task.data.edge_index)[task.rows["test"]]
        y = task.y["test"]
        alone.append((out.argmax(dim=1) == y).float().mean())
        own = out[:, 2 * number : 2 * number + 2].argmax(dim=1) + 2 * number
        told.append((own == y).float().mean())
    metrics = run({"name": "FineTune"})
    assert metrics["average_performance"] == pytest.approx(float(sum(alone) / 2))
    assert metrics["task_prediction_accuracy"] == 1.0
    assert metrics["told_average_performance"] == pytest.approx(float(sum(told) / 2))


@pytest.mark.parametrize("name", ALL)
def test_every_strategy_gives_all_metrics(name: str) -> None:
    metrics = run({"name": name})
    for key in ("average_performance", "told_average_performance", "node_task_prediction_accuracy"):
        assert 0 <= metrics[key] <= 1
    assert metrics["forgetting_from_best"] >= metrics["average_forgetting"]
    if name == "TPP":
        assert metrics["average_forgetting"] == 0.0
        assert metrics["average_performance"] == metrics["told_average_performance"]


def test_old_tasks_are_rehearsed_against_the_classes_that_came_later() -> None:
    """With the columns of its own time, joint training never told old classes from new ones."""
    tasks, latest = stream(), [0]
    model = build(MODEL, tasks[0].data.num_features, 4).eval()
    joint = JointTrain(model)
    joint.finish_task(growing_classes.Rehearsed(tasks, 0, latest).losses)
    task = tasks[0]
    out = model(task.data.x, task.data.edge_index)[task.rows["train"]]
    for now, columns in ((0, 2), (1, 4)):
        latest[0] = now
        expected = F.cross_entropy(out[:, :columns], task.y["train"])
        torch.testing.assert_close(joint.penalty(), expected)


@pytest.mark.parametrize("name", ["ERGNN", "SSM", "TPP"])
def test_no_test_label_and_no_future_is_used(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Test labels and the last task are changed: what was learned before stays to the bit."""
    outputs = []
    for changed in (False, True):
        data = class_streams.load_dataset("KarateClub")[0].clone()
        if changed:
            tasks = stream()
            last = torch.isin(data.y, torch.tensor(tasks[-1].classes))
            data.x = data.x + last.view(-1, 1) * 3.0
        monkeypatch.setattr(class_streams, "load_dataset", lambda _, data=data: [data])
        tasks, fit = stream(), Fitter(TRAIN, 0)
        if changed:
            for task in tasks:
                task.y["test"][:] = 0
        tasks.tasks = tasks.tasks[:1]
        seed_everything(0)
        width = data.num_features
        if name == "TPP":
            model = TPP(build(MODEL, width, 8), width, 8)
            growing_classes.learn_prompts(tasks, model, fit)
            out = model.eval()(tasks[0].data.x, tasks[0].data.edge_index)
        else:
            model = build(MODEL, width, 4)
            strategy = make_strategy({"name": name}, model, growing_classes.LEARNED)
            growing_classes.learn(tasks, model, strategy, fit)
            out = model.eval()(tasks[0].data.x, tasks[0].data.edge_index)
        outputs.append(out.detach())
    assert torch.equal(*outputs)


def test_identification_on_a_graph_of_test_nodes_alone() -> None:
    tasks = stream()
    graph, rows = tasks[0].graphs["test"], tasks[0].rows["test"].flip(0)
    part = growing_classes.only(graph, rows)
    assert torch.equal(part.x, graph.x[rows])
    inside = {(s, t) for s, t in graph.edge_index.t().tolist() if s in rows.tolist() and t in rows}
    assert {tuple(edge) for edge in rows[part.edge_index].t().tolist()} == inside


class TestLearnPrompt(TaskSuite):
    world_sizes = (2, 3)

    def make(self):
        return growing_classes.LearnPrompt(stream()[0], None)

    def make_model(self):
        task = stream()[0]
        width = task.data.num_features
        tpp = TPP(build(MODEL, width, 8), width, 8)
        tpp.add_task(task.data.x, task.data.edge_index, task.rows["train"], classes=2)
        return tpp


def test_wrong_settings_are_refused_with_a_hint() -> None:
    with pytest.raises(RecipeError, match="unknown strategy 'TPPP'"):
        run({"name": "TPPP"})
    for strategy in ({"name": "SSM", "memory": 3}, {"name": "TPP", "prompt": 3}):
        with pytest.raises(RecipeError, match="did you mean"):
            run(strategy)
    with pytest.raises(RecipeError, match="'setting'"):
        run({"name": "TPP"}, {**DATASET, "setting": "task"})


def test_every_strategy_has_a_recipe_for_every_graph() -> None:
    names = recipes.expand(["class-incremental"])
    grouped = [recipes.load(name) for name in names]
    assert {recipe.protocol for recipe in grouped} == {"class_incremental"}
    found = {(recipe.sections["strategy"]["name"], recipe.dataset) for recipe in grouped}
    graphs = ("CiteSeer", "Photo", "DBLP", "Computers", "CS")
    assert found == {(name, graph) for name in ALL for graph in graphs}
    shared = {str((r.sections["model"], r.sections["train"])) for r in grouped}
    assert len(shared) == 1
