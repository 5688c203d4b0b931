"""Times a step of TWP against a plain one: ``python -m benchmarks.studies.continual.cost``.

All arms take turns in one process, so that a busy machine slows all of them alike; the median
of the ratios to the fine-tuning step of the same turn is printed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from benchmarks.problems.class_streams import load
from benchmarks.rivals.nodes import build
from graphkit.continual import TWP, FineTune, Strategy
from graphkit.datasets import StreamTask

ARMS: dict[str, tuple[Callable[..., Strategy], int]] = {
    "fine-tune": (FineTune, 2),
    "TWP, 2nd task": (lambda model: TWP(model, 1e2, 1e-4), 2),
    "TWP, 20th task": (lambda model: TWP(model, 1e2, 1e-4), 20),
    "TWP with beta": (lambda model: TWP(model, 1e2, 1e-4, beta=0.01), 2),
}


def stepper(task: StreamTask, settings: dict, arm: str) -> Callable[[], None]:
    """One training step of an arm, as a function; earlier tasks are finished already."""
    make, tasks = ARMS[arm]
    torch.manual_seed(0)
    model = build(settings, task.data.num_features, 10)
    strategy = make(model)
    for _ in range(tasks - 1):
        strategy.finish_task(task.losses)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005, weight_decay=5e-4)

    def step() -> None:
        optimizer.zero_grad()
        loss = task.loss(model)
        (loss + strategy.penalty(loss)).backward()
        strategy.before_step()
        optimizer.step()

    return step


def measure(task: StreamTask, settings: dict, turns: int) -> dict[str, list[float]]:
    """Seconds of every step of every arm, turn by turn."""
    steps = {arm: stepper(task, settings, arm) for arm in ARMS}
    seconds: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for turn in range(turns + 2):
        for arm, step in steps.items():
            started = time.process_time()
            step()
            if turn >= 2:
                seconds[arm].append(time.process_time() - started)
    return seconds


def main() -> None:
    """Prints one row per backbone and arm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="Computers")
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--backbones", nargs="+", default=["GAT", "GCN"])
    arguments = parser.parse_args()
    task = load(arguments.dataset, 2, "task", hops=2)[1]
    for name in arguments.backbones:
        hidden = {"hidden_channels": 8, "heads": 8} if name == "GAT" else {"hidden_channels": 64}
        seconds = measure(task, {"name": name, **hidden}, arguments.turns)
        for arm, times in seconds.items():
            ratios = [t / f for t, f in zip(times, seconds["fine-tune"], strict=True)]
            milliseconds = 1e3 * statistics.median(times)
            print(f"{name:10s} {arm:15s} {milliseconds:8.1f} ms {statistics.median(ratios):6.3f} x")


if __name__ == "__main__":
    main()
