"""The protocols of the command without words, in small."""

from __future__ import annotations

import pytest
import torch

from benchmarks.harness import recipe as recipes
from benchmarks.harness.fitting import Fitter
from benchmarks.protocols import crossing_people, digit_starts, layer_twins


def test_twins_have_the_same_accuracy_and_are_timed() -> None:
    sections = recipes.load("tour-layers").sections
    models = {"sage": {"name": "GraphSAGE", "hidden_channels": 8, "dropout": 0.5}}
    fit = Fitter({**sections["train"], "epochs": 3}, 0)
    figures = layer_twins.run(
        sections["dataset"], models, seed=0, fit=fit, nodes=50, edges=200, turns=2
    )
    # Sums in another order move a digit at most.
    assert figures["sage_accuracy_fused"] == pytest.approx(figures["sage_accuracy_pyg"], abs=0.01)
    assert min(figures["sage_ms_pyg"], figures["sage_ms_fused"]) > 0
    assert figures["faster"] == pytest.approx(figures["sage_faster"])


def test_labels_of_the_task_are_of_the_other_half() -> None:
    data = digit_starts.load(few=3, seed=1)
    assert int(data.train_mask.sum()) == 30
    assert torch.bincount(data.y[data.train_mask]).tolist() == [3] * 10
    assert not (data.train_mask & data.test_mask).any()
    assert bool(data.second_half[data.train_mask | data.test_mask].all())
    assert 0.4 < float(data.second_half.float().mean()) < 0.6


def test_a_start_is_one_of_the_networks() -> None:
    sizes: list[torch.nn.Module] = []
    figures = digit_starts.run(
        {"name": "digits"}, seed=0, note_size=sizes.append, channels=8, steps=4, fine_tuning=4
    )
    assert len(sizes) == 1
    assert figures["random"] <= figures["best"]
    assert 0 < figures["log_me"] <= figures["best"]
    assert -1 <= figures["rho_log_me"] <= 1


def test_all_people_cross_and_counting_keeps_them_apart() -> None:
    density, (frame, _, where) = crossing_people.load(people=3, frames=12, side=16, seed=2)
    assert density.shape == (12, 16, 16)
    assert len(frame) == 36
    apart = torch.stack([torch.pdist(where[frame == t]).min() for t in range(12)])
    assert float(apart.min()) < 2 * crossing_people.SIGMA < float(apart[0])
    assert float(where.min()) > 0
    assert float(where.max()) < 16
    figures = crossing_people.run({"people": 3, "frames": 12, "side": 16}, seed=2)
    assert figures["mota_tbc"] > figures["mota_peaks"]
