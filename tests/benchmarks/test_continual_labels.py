"""The protocol of label streams: a plain loop, PPI's published format, Tox21's missing labels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch_geometric.data import Data

from benchmarks.harness import recipe as recipes
from benchmarks.harness.fitting import Fitter
from benchmarks.problems.streams import STRATEGIES
from benchmarks.protocols import continual_labels
from benchmarks.rivals.nodes import build
from graphkit.continual import TWP
from graphkit.datasets import LabelSequence
from graphkit.train import seed_everything
from tests.datasets.files import write_ppi

DATASET = {"name": "PPI", "level": "node", "labels_per_task": 60, "batch_size": 1}
MODEL = {"name": "GAT", "hidden_channels": 4, "heads": 2, "dropout": 0.0}
TRAIN = {"epochs": 2, "lr": 0.02, "monitor": None}
STRATEGY = {"name": "TWP", "task_weight": 10.0, "topology_weight": 1e-3}


@pytest.fixture
def ppi(data_folder: Path) -> None:
    """PPI in the published format, with two small graphs per part."""
    write_ppi(data_folder)


def run(strategy: dict[str, object], **kwargs: object) -> dict[str, float]:
    fit = Fitter(TRAIN, 0, **kwargs)
    return continual_labels.run(DATASET, MODEL, strategy, "micro_f1", seed=0, fit=fit)


def test_the_protocol_is_a_plain_loop(ppi: None) -> None:
    tasks = continual_labels.load(**DATASET)
    assert (len(tasks), tasks.num_labels) == (2, 120)
    seed_everything(0)
    model = build(MODEL, 50, 120)
    twp, rows = TWP(model, 10.0, 1e-3), []
    for task in tasks:
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        model.train()
        for epoch in (1, 2):
            generator = torch.Generator().manual_seed(epoch)
            for i in torch.randperm(2, generator=generator).tolist():
                optimizer.zero_grad()
                loss = task.batches["train"][i].loss(model)
                (loss + twp.penalty()).backward()
                optimizer.step()
        twp.finish_task([batch.losses for batch in task.batches["train"]])
        rows.append(tasks.evaluate(model))
    found = run(STRATEGY)
    assert found["average_performance"] == pytest.approx(rows[-1].mean().item(), abs=1e-6)
    forgotten = (rows[0][0] - rows[1][0]).item()
    assert found["average_forgetting"] == pytest.approx(forgotten, abs=1e-6)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_gives_all_metrics(ppi: None, name: str) -> None:
    metrics = run({"name": name} | ({"multi_label": True} if name == "LwF" else {}))
    assert 0 <= metrics["average_performance"] <= 1
    assert 0 <= metrics["new_task_performance"] <= 1
    assert metrics["backward_transfer"] == -metrics["average_forgetting"]


def test_a_resumed_stream_ends_where_the_whole_one_does(ppi: None, tmp_path: Path) -> None:
    whole = run(STRATEGY, folder=tmp_path)
    (tmp_path / "task-1.pt").unlink()
    assert run(STRATEGY, folder=tmp_path, resume=True) == whole


def test_wrong_settings_are_refused_with_a_hint(ppi: None) -> None:
    with pytest.raises(recipes.RecipeError, match="'multi_label: true'"):
        run({"name": "LwF"})
    with pytest.raises(recipes.RecipeError, match="did you mean 'roc_auc'"):
        continual_labels.run(DATASET, MODEL, STRATEGY, "rocauc", seed=0, fit=Fitter(TRAIN, 0))


def test_shards_share_the_training_samples(ppi: None) -> None:
    task = continual_labels.load(**DATASET)[0]
    model = build(MODEL, 50, 120).eval()
    for world_size in (2, 7):
        whole = continual_labels.LearnLabels(task, TWP(model))
        parts = [whole.shard(rank, world_size) for rank in range(world_size)]
        for batches in zip(whole.batches(1), *(part.batches(1) for part in parts), strict=True):
            sizes = [whole.size(batch) for batch in batches]
            assert sum(sizes[1:]) == sizes[0] == 4
            losses = [
                whole.loss(model, batch) * size for batch, size in zip(batches, sizes, strict=True)
            ]
            torch.testing.assert_close(torch.stack(losses[1:]).sum(), losses[0])


def molecules(count: int = 60) -> list[Data]:
    """Chains of atoms with integer features, twelve labels, a third of them missing."""
    generator = torch.Generator().manual_seed(0)
    graphs = []
    for number in range(count):
        size = number % 4 + 1
        step = torch.arange(size - 1)
        x = torch.randint(3, (size, 9), generator=generator) * 7
        y = torch.randint(2, (1, 12), generator=generator).float()
        y[torch.rand(1, 12, generator=generator) < 1 / 3] = torch.nan
        graphs.append(Data(x=x, edge_index=torch.stack([step, step + 1]), y=y))
    return graphs


def test_molecules_with_missing_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(continual_labels, "load_dataset", lambda name: molecules())
    changes = ["train.epochs=1", "dataset.test_share=0.4"]
    sections = recipes.load("twp-gin-tox21").set(changes).sections
    train = sections.pop("train")
    metrics = continual_labels.run(**sections, seed=0, fit=Fitter(train, 0))
    assert 0 <= metrics["average_performance"] <= 1
    tasks = continual_labels.load(**sections["dataset"])
    assert isinstance(tasks, LabelSequence)
    assert len(tasks) == 12


def test_indicators_tell_every_value_apart() -> None:
    graphs = molecules(20)
    wide = continual_labels.indicators(graphs)
    x = torch.cat([graph.x for graph in graphs])
    indicators = torch.cat([graph.x for graph in wide])
    assert bool((indicators.sum(dim=1) == 9).all())
    assert bool((indicators.sum(dim=0) > 0).all())
    same = (x[:, None] == x[None]).sum(dim=2)
    assert torch.equal(indicators @ indicators.t(), same.float())
    floats = [Data(x=torch.rand(2, 3))]
    assert continual_labels.indicators(floats) is floats


def test_roc_auc_leaves_missing_labels_out() -> None:
    generator = torch.Generator().manual_seed(1)
    out, y = torch.randn(30, 2, generator=generator), torch.arange(60).view(30, 2) % 3 % 2.0
    y[::4, 1] = torch.nan
    known = ~y[:, 1].isnan()
    expected = roc_auc_score(y[:, 0], out[:, 0]) + roc_auc_score(y[known, 1], out[known, 1])
    assert continual_labels.roc_auc(out, y).item() == pytest.approx(expected / 2)


def test_recipes_are_named_by_the_rule() -> None:
    strategies = {"twp": "TWP", "ewc": "EWC", "mas": "MAS", "lwf": "LwF", "finetune": "FineTune"}
    found = [recipes.load(name) for name in recipes.names()]
    found = [recipe for recipe in found if recipe.protocol == "continual_labels"]
    assert {"twp-gin-tox21", "finetune-gin-tox21", "twp-gat-ppi", "finetune-gat-ppi"} <= {
        recipe.name for recipe in found
    }
    for recipe in found:
        strategy, backbone, _ = recipe.name.split("-", 2)
        assert recipe.sections["strategy"]["name"] == strategies[strategy]
        assert backbone.upper() in recipe.sections["model"]["name"]
