"""The protocols: what they select, and that no test label leaks into an honest choice."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.harness import recipe as recipes
from benchmarks.harness.errors import RecipeError
from benchmarks.harness.fitting import Fitter
from benchmarks.problems.folds import summary
from benchmarks.problems.graphs import inner_split
from benchmarks.problems.nodes import load
from benchmarks.protocols import graph_classification, node_classification
from benchmarks.rivals.nodes import build
from graphkit.nn.fast_path import FastPath


def test_summary_chooses_the_epoch_inside_the_training_folds() -> None:
    inner = np.array([[0.1, 0.9, 0.2, 0.1], [0.3, 0.1, 0.1, 0.8]])
    outer = np.array([[0.6, 0.5, 0.9, 0.1], [0.6, 0.7, 0.9, 0.4]])
    found = summary(inner, outer, window=1)
    assert found["test_accuracy"] == pytest.approx((0.5 + 0.4) / 2)
    assert found["gin_test_accuracy"] == pytest.approx(0.9)
    assert found["gin_epoch"] == 3
    changed = summary(inner, np.flip(outer, 1), window=1)
    assert changed["gin_test_accuracy"] == pytest.approx(0.9)
    assert changed["test_accuracy"] == pytest.approx((0.9 + 0.6) / 2)


def test_summary_averages_the_inner_curve() -> None:
    inner = np.array([[0.0, 1.0, 0.0, 0.7, 0.7, 0.7]])
    outer = np.array([[0.0, 0.1, 0.2, 0.3, 0.4, 0.5]])
    found = summary(inner, outer, window=3)
    assert found["test_accuracy"] == pytest.approx(0.4)


def test_inner_split_is_disjoint_stratified_and_seeded() -> None:
    y, train = np.arange(90) % 3, np.arange(0, 81)
    kept, held = inner_split(y, train, seed=1)
    assert sorted([*kept, *held]) == list(train)
    assert np.bincount(y[held]).tolist() == [3, 3, 3]
    assert np.array_equal(held, inner_split(y, train, seed=1)[1])
    assert not np.array_equal(held, inner_split(y, train, seed=2)[1])


def test_node_classification_draws_a_split_per_seed() -> None:
    one, same, other = (load("digits", "random", False, 5, 10, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.train_mask, same.train_mask)
    assert not torch.equal(one.train_mask, other.train_mask)


def test_sparse_features_change_nothing_but_the_layout() -> None:
    dense, sparse = (load("digits", "random", sparse_features=flag) for flag in (False, True))
    assert sparse.x.layout == torch.sparse_csr
    assert torch.equal(sparse.x.to_dense(), dense.x)


def test_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="'split' must be 'public' or 'random', got 'x'"):
        load("digits", "x")


@pytest.mark.data
def test_graph_classification_runs_on_mutag(data_root) -> None:
    train = {"epochs": 1, "lr": 0.01}
    model = {"name": "GIN", "hidden_channels": 4, "num_layers": 1}
    found = graph_classification.run(
        {"name": "MUTAG"}, model, seed=0, fit=Fitter(train, seed=0), batch_size=200
    )
    assert 0.2 < found["test_accuracy"] <= 1
    assert found["gin_test_accuracy"] >= found["test_accuracy"] - 1e-9


@pytest.mark.data
def test_gcn_learns_cora(data_root) -> None:
    train = {"epochs": 40, "lr": 0.01, "weight_decay": 5e-4}
    model = {"name": "GCN", "hidden_channels": 16}
    dataset = {"name": "Cora", "sparse_features": True}
    found = node_classification.run(dataset, model, seed=0, fit=Fitter(train, seed=0))
    assert found["test_accuracy"] > 0.7


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("GAT", {"heads": 2}),
        ("GCN", {}),
        ("GraphSAGE", {}),
        ("NodeGIN", {"num_layers": 2}),
    ],
)
def test_an_accelerated_rival_is_the_same_network(name: str, sizes: dict[str, int]) -> None:
    x, edge_index = torch.rand(30, 5), torch.randint(0, 30, (2, 90))
    model = {"name": name, "hidden_channels": 4, **sizes}
    plain, fused = (build({**model, "accelerate": key}, 5, 3).eval() for key in (False, True))
    fused.load_state_dict(plain.state_dict())
    kinds = [{type(part) for part in each.modules()} for each in (plain, fused)]
    assert any(issubclass(kind, FastPath) for kind in kinds[1] - kinds[0])
    assert not any(issubclass(kind, FastPath) for kind in kinds[0])
    torch.testing.assert_close(fused(x, edge_index), plain(x, edge_index))


def test_a_rival_with_sparse_features_is_the_same_network() -> None:
    x, edge_index = torch.rand(30, 5), torch.randint(0, 30, (2, 90))
    x = x * (x > 0.5)
    model = {"name": "GAT", "hidden_channels": 4, "heads": 2, "accelerate": True}
    plain, sparse = (build({**model, "sparse_features": key}, 5, 3) for key in (False, True))
    sparse.load_state_dict(plain.state_dict())
    layouts = []
    sparse.conv1.register_forward_pre_hook(lambda _, inputs: layouts.append(inputs[0].layout))
    torch.testing.assert_close(sparse.eval()(x, edge_index), plain.eval()(x, edge_index))
    for network in (plain, sparse):
        network(x, edge_index).square().sum().backward()
    wanted = [each.grad for each in plain.parameters()]
    torch.testing.assert_close([each.grad for each in sparse.parameters()], wanted)
    assert layouts == [torch.sparse_csr] * 2
    # What was written to is read anew.
    x[0] += 1.0
    torch.testing.assert_close(sparse(x, edge_index), plain(x, edge_index))


def test_only_baselines_are_accelerated_and_by_yes_or_no() -> None:
    recipes.load("gat-cora").set(["model.accelerate=true"])
    with pytest.raises(RecipeError, match=r"'model'.*accelerate.*maybe"):
        recipes.load("gat-cora").set(["model.accelerate=maybe"])
    with pytest.raises(RecipeError, match=r"'model'.*accelerate"):
        recipes.load("spagan-cora").set(["model.accelerate=true"])
    with pytest.raises(RecipeError, match=r"'sparse_features' needs 'accelerate: true'"):
        recipes.load("gat-karate").set(["model.sparse_features=true"])
