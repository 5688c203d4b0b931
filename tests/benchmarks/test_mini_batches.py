"""Mini-batches read the rows that full batches have, and arms differ in nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn import SAGEConv

from benchmarks.harness.fitting import Fitter
from benchmarks.protocols import mini_batches
from benchmarks.report import batches
from benchmarks.rivals.nodes import SparseSAGE


def graph(sparse: bool) -> Data:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(40, 6, generator=generator) * (torch.rand(40, 6, generator=generator) < 0.5)
    edge_index = torch.randint(39, (2, 200), generator=generator)
    data = Data(x=x.to_sparse_csr() if sparse else x, edge_index=edge_index, y=torch.arange(40) % 3)
    for split, nodes in (("train", slice(20)), ("val", slice(20, 30)), ("test", slice(30, 40))):
        data[f"{split}_mask"] = torch.zeros(40, dtype=torch.bool)
        data[f"{split}_mask"][nodes] = True
    return data


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("sparse", [False, True])
def test_rows_of_features_are_those_of_the_nodes(sparse: bool) -> None:
    x = graph(sparse).x
    nodes = torch.tensor([39, 0, 7, 7])
    found = mini_batches.rows_of(x, nodes)
    assert found.layout == x.layout
    assert torch.equal(found.to_dense(), x.to_dense()[nodes])


def test_the_model_is_two_layers_of_sage() -> None:
    data = graph(False)
    model = SparseSAGE(6, 4, 3).eval()
    x = data.x
    for number, width in enumerate(((6, 4), (4, 3))):
        layer = SAGEConv(*width)
        with torch.no_grad():
            layer.lin_l.weight.copy_(model.near[number].weight)
            layer.lin_r.weight.copy_(model.root[number].weight)
            layer.lin_l.bias.copy_(model.root[number].bias)
            x = layer(x.relu() if number else x, data.edge_index)
    torch.testing.assert_close(model(data.x, data.edge_index), x, rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Sparse")
def test_whole_neighbourhoods_in_one_batch_give_no_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mini_batches, "load", lambda name, seed: graph(True))
    section: dict[str, Any] = {"num_neighbors": [-1, -1], "batch_size": 20}
    metrics = mini_batches.run(
        {"name": "x"},
        {"name": "SparseSAGE", "hidden_channels": 8, "dropout": 0.0},
        section,
        seed=0,
        fit=Fitter({"epochs": 4, "lr": 0.05}, 0),
    )
    assert metrics["difference"] == 0
    assert metrics["full_epochs"] == metrics["batches_epochs"] == 4
    assert metrics["batches_val_accuracy"] == metrics["full_val_accuracy"]
    fewer = mini_batches.run(
        {"name": "x"},
        {"name": "SparseSAGE", "hidden_channels": 8},
        section | {"train": {"epochs": 2}},
        seed=0,
        fit=Fitter({"epochs": 3, "lr": 0.05}, 0),
    )
    assert (fewer["full_epochs"], fewer["batches_epochs"]) == (3, 2)


def test_the_table_has_the_interval_of_the_differences(tmp_path: Path) -> None:
    rate = {"mean": 0.9, "std": 0.01}
    names = ("full_test_accuracy", "batches_test_accuracy")
    metrics = {"difference": {"mean": -0.002, "std": 0.001}, **dict.fromkeys(names, rate)}
    recipe: Any = SimpleNamespace(
        name="r",
        protocol="mini_batches",
        reproduced={"metrics": metrics, "seeds": 5},
        sections={"dataset": {"name": "CS"}, "batches": {"batch_size": 64}},
    )
    curves = {"CS": {"64": 7.1, "full": 90.0}, "CS, other layers": {"64": 8.0}}
    (tmp_path / "m.json").write_text(json.dumps({"megabytes": curves}))
    table = batches.mini_batches([recipe], tmp_path / "m.json")
    # Student's 0.975 quantile with four degrees of freedom is 2.776.
    assert "-0.20 [-0.32, -0.08]" in table
    assert "64: 7, full: 90" in table
    assert table.endswith("MB of a step of other models: CS, other layers, 64: 8.")
