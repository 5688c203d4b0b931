"""The parts of ``python -m benchmarks speed`` run, by turns, and print what they measured."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch_geometric.data import Data

from benchmarks.speed import epochs, turns
from benchmarks.speed.child import run_module
from benchmarks.speed.parts import table_of, text_of


def test_ratios_are_taken_within_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours takes 1, then 2 seconds, the rival 4 each time: ratios 4 and 2, not 4 / 1.5."""
    clock = iter([0.0])
    spent = iter([(9, 9), (9, 9), (1, 1), (4, 4), (2, 2), (4, 4), (1, 1), (4, 4)])
    monkeypatch.setattr(turns, "clocked", lambda call: next(spent))
    monkeypatch.setattr(turns, "time", SimpleNamespace(perf_counter=lambda: next(clock, 100.0)))
    row = turns.in_turns(lambda: None, lambda: None, 9, seconds=1)
    assert row["turns"] == 3
    assert row["times_faster"]["median"] == 4
    assert row["times_faster"]["low"] in (2, 4)
    assert row["seconds"]["median"] == 1


def test_a_list_is_a_table_with_a_line_per_measurement() -> None:
    spread = {"median": 1.0, "low": 0.5, "high": 2.0}
    rows: list[dict[str, Any]] = [{"what": "a", "threads": 2, "ms": spread}]
    table = table_of("part", [*rows, {"what": "b", "threads": 2, "more": 3}])
    assert table.caption == "threads: 2"
    assert [column.header for column in table.columns] == ["what", "ms", "more"]
    assert list(table.columns[1].cells) == ["1 (0.5-2)", "-"]
    assert text_of(0.123456) == "0.1235"


def test_a_measurement_beside_a_rival_is_what_it_was_and_how_many_times_better() -> None:
    spread = {"median": 2.0, "low": 1.0, "high": 4.0}
    rows: list[dict[str, Any]] = [
        {"what": "a", "size": "small", "rival": "PyG", "turns": 9, "seconds": spread}
        | {"times_faster": spread, "times_less_processor": spread, "load": 1.0},
        {"what": "b", "megabytes": 4.0, "rival_megabytes": 10.0},
    ]
    table = table_of("part", rows)
    headers = [str(column.header) for column in table.columns]
    assert headers == ["what", "times faster", "times less processor", "times less memory"]
    cells = [list(column.cells) for column in table.columns]
    assert cells[0] == ["a, small, PyG", "b"]
    assert cells[1] == cells[2] == ["2.00 (1.00-4.00)", "-"]
    assert cells[3] == ["-", "2.5"]
    assert "JSON" in str(table.caption)


def test_an_epoch_trains_both_models_alike() -> None:
    torch.manual_seed(0)
    case = epochs.QUICK["GAT on a small graph"]()
    assert isinstance(case[1][0], Data)  # type: ignore[index]
    before = [value.clone() for value in case[0].parameters()]
    epochs.epoch(case[0], case)()
    assert any((a != b).any() for a, b in zip(before, case[0].parameters(), strict=True))


def test_seeds_come_first_in_the_loss_of_mini_batches() -> None:
    class Rows(nn.Module):
        def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
            return x

    batch = Data(
        x=torch.eye(3) * 50, edge_index=torch.empty(2, 0).long(), y=torch.tensor([0, 1, 0])
    )
    batch.batch_size = 2
    assert float(epochs.seed_loss(Rows(), batch)) < 1e-6


def test_a_module_that_fails_is_an_error_with_its_words() -> None:
    with pytest.raises(RuntimeError, match="no model of that name"):
        run_module("benchmarks.speed.epochs", ["no model of that name", "after"], {})
