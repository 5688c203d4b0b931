"""The bar appears late, moves seldom, shows where the run is, and goes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from graphkit.train import ProgressBar


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that stands until it is set."""
    now = SimpleNamespace(time=100.0)
    monkeypatch.setattr("graphkit.train.progress.time.perf_counter", lambda: now.time)
    return now


def run_at(epoch: int) -> Any:
    return SimpleNamespace(epoch=epoch, epochs=9, stage=1, metrics={"loss": 0.5, "f1": 1.0})


def test_a_bar_comes_after_two_seconds_and_then_every_tenth(clock: SimpleNamespace) -> None:
    progress = ProgressBar()
    progress.on_fit_start(run_at(0))
    for seconds, epoch, wanted in (
        (1.875, 1, None),
        (2.0, 2, 2),
        (2.0625, 3, 2),
        (2.125, 4, 4),
        (9.0, 5, 5),
    ):
        clock.time = 100.0 + seconds
        progress.on_epoch_end(run_at(epoch))
        if wanted is None:
            assert progress.bar is None
        else:
            (task,) = progress.bar.tasks
            assert (task.completed, task.total) == (wanted, 9)
            assert task.description == f"stage 2, epoch {wanted}  loss 0.5000  f1 1.0000"
            assert progress.bar.live.is_started
    bar = progress.bar
    progress.on_fit_end(run_at(9))
    assert progress.bar is None
    assert not bar.live.is_started
    assert bar.live.transient
    assert bar.console.stderr
    progress.on_fit_end(run_at(9))


def test_a_bar_without_delay_still_waits_a_tenth(clock: SimpleNamespace) -> None:
    progress = ProgressBar(delay=0.0)
    progress.on_fit_start(run_at(0))
    clock.time += 0.0625
    progress.on_epoch_end(run_at(1))
    assert progress.bar is None
    clock.time += 0.0625
    progress.on_epoch_end(run_at(2))
    assert progress.bar is not None
    progress.on_fit_end(run_at(2))
