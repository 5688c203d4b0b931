"""What graphkit's training loop costs over a bare PyTorch loop, full batch, in turns."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.data import Data

from benchmarks.problems.nodes import load
from benchmarks.rivals.nodes import GCN
from graphkit.train import NodeTask, Trainer


def start(data: Data) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A fresh GCN and its optimizer."""
    torch.manual_seed(0)
    model = GCN(data.num_features, 16, int(data.y.max()) + 1)
    return model, torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)


def bare_loop(data: Data, epochs: int) -> None:
    """What people write by hand: train, evaluate, keep the best weights."""
    model, optimizer = start(data)
    best = float("inf")
    for _ in range(epochs):
        model.train()
        optimizer.zero_grad()
        out = model(data.x, data.edge_index)
        F.cross_entropy(out[data.train_mask], data.y[data.train_mask]).backward()
        optimizer.step()
        model.eval()
        with torch.no_grad():
            out = model(data.x, data.edge_index)
            loss = float(F.cross_entropy(out[data.val_mask], data.y[data.val_mask]))
            for mask in (data.val_mask, data.test_mask):
                float((out[mask].argmax(dim=-1) == data.y[mask]).float().mean())
        if loss < best:
            best = loss
            _ = {name: value.clone() for name, value in model.state_dict().items()}


def trainer_loop(data: Data, epochs: int) -> None:
    """The same with :class:`graphkit.train.Trainer`."""
    model, optimizer = start(data)
    Trainer(epochs, progress=False).fit(model, optimizer, NodeTask(data))


def overhead(name: str = "Cora", epochs: int = 100, turns: int = 7) -> dict[str, float]:
    """Median and spread of the ratio trainer ÷ bare loop, turn by turn."""
    data = load(name, split="public" if name == "Cora" else "random", sparse_features=False)
    ratios, seconds = [], []
    for turn in range(turns + 1):
        times = []
        for loop in (bare_loop, trainer_loop):
            started = time.perf_counter()
            loop(data, epochs)
            times.append(time.perf_counter() - started)
        if turn:
            ratios.append(times[1] / times[0])
            seconds.append(times[0] / epochs)
    return {
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "bare_ms_per_epoch": 1e3 * statistics.median(seconds),
    }


def run(*, quick: bool = False, name: str = "Cora") -> dict[str, Any]:
    """The overhead on one graph."""
    return {name: overhead(name, 20 if quick else 100, 2 if quick else 7)}
