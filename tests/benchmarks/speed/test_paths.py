"""The measurements of SPAGAN's parts, on graphs of no size."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.datasets import KarateClub

from benchmarks.speed import paths


@pytest.fixture(autouse=True)
def karate(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str, sparse_features: bool = False) -> object:
        data = KarateClub()[0]
        data.val_mask = data.test_mask = ~data.train_mask
        return data

    monkeypatch.setattr(paths, "load", load)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
def test_every_measurement_has_a_figure() -> None:
    found = paths.run(quick=True, names=("Karate",))["Karate"]
    times = found["paths"]
    assert times["times_faster"] == pytest.approx(times["scipy"] / times["hop"])
    step = found["step"]
    assert step["ratio"] == pytest.approx(step["SPAGANConv"] / step["GATConv"])


def test_agreement_is_a_share_of_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    def unit_costs(data: object, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        edge_index = KarateClub()[0].edge_index
        return edge_index, torch.ones(edge_index.size(1))

    monkeypatch.setattr(paths, "trained_costs", unit_costs)
    found = paths.agreement("Karate", ratio=float("inf"))
    assert found["jaccard"] == 1.0
    assert found["hop_paths"] == found["exact_paths"] > 0


def test_costs_of_trained_attention_lie_between_zero_and_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("graphkit.train.Trainer.stage_over", lambda self, run: run.epoch >= 2)
    edges, cost = paths.trained_costs(paths.load("Karate"), 0)
    assert edges.size(1) == cost.numel()
    assert cost.min() == 0.0
    assert cost.max() < 1.0
