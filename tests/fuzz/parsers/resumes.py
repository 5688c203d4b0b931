"""Runs that go on from a checkpoint: the trainer, a search, a training on a large graph."""

from __future__ import annotations

import json
import tempfile
from contextlib import redirect_stderr
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch_geometric.nn import GCN

from benchmarks.scale import large
from benchmarks.scale import ledger as accounts
from benchmarks.scale.ledger import Ledger
from graphkit.compress import EvolutionaryPruning
from graphkit.sampling import open_graph, write_graph
from graphkit.train import (
    Callback,
    NodeTask,
    Run,
    Trainer,
    load_checkpoint,
    make_fabric,
    save_checkpoint,
)
from tests.fuzz.parsers.reading import as_json, named, values_of
from tests.fuzz.registry import parser
from tests.train.problems import LinearGCN, ring

REAL = "as it was"
"""Stands for an entry that is put in again: states of others than us, long ones."""
Keep = dict[str, Any]


def told(state: Keep, real: tuple[str, ...]) -> list[bytes]:
    """A state as JSON, without some of its entries."""
    return [json.dumps(as_json({k: REAL if k in real else v for k, v in state.items()})).encode()]


def put_state(content: bytes, original: Keep, path: Path) -> bool:
    """Writes the state of a JSON text, with the right seal; false if it is no JSON."""
    path.with_name(f"{path.name}.previous").unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    try:
        state = values_of(json.loads(content))
        if isinstance(state, dict):
            state = {k: original[k] if v == REAL and k in original else v for k, v in state.items()}
        save_checkpoint(state, path)
    except (ValueError, RecursionError):
        return False
    return True


class KilledError(Exception):
    """Ends a run."""


class Kill(Callback):
    """Ends a run after its second epoch, once it is on disk."""

    def on_epoch_end(self, run: Run) -> None:
        if len(run.history) == 3:
            raise KilledError


@cache
def fabric() -> Any:
    """One for all runs: it looks for callbacks of other packages when it is made."""
    return make_fabric(accelerator="cpu", devices=1)


def fit(path: Path, *callbacks: Callback) -> None:
    """Trains for four epochs, from a checkpoint if there is one."""
    torch.manual_seed(0)
    model = LinearGCN()
    options: Keep = {"monitor": "val_loss", "patience": 3, "seed": 0, "callbacks": callbacks}
    options |= {
        "fabric": fabric(),
        "checkpoint": path,
        "checkpoint_seconds": 0.0,
        "resume": True,
        "progress": False,
    }
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    result = Trainer(4, **options).fit(model, optimizer, NodeTask(ring(9)))
    assert isinstance(result.epochs, int)
    # A task may count as well as measure.
    assert all(isinstance(value, int | float) for value in result.metrics.values())


@cache
def training() -> Keep:
    """What a training that was killed leaves."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            fit(Path(folder) / "run.pt", Kill())
        except KilledError:
            return {**load_checkpoint(Path(folder) / "run.pt"), "callbacks": []}
    raise AssertionError("it was not killed")


OTHERS = ("optimizer", "scheduler", "rng")


@parser(lambda: told(training(), OTHERS), ValueError, FloatingPointError)
def trainer_resume(content: bytes, folder: Path) -> None:
    if put_state(content, training(), folder / "run.pt"):
        with named(folder):
            fit(folder / "run.pt")


def evolve(path: Path, generations: int) -> None:
    torch.manual_seed(0)
    args = (torch.rand(5, 4), torch.tensor([[0, 1], [1, 2]]))
    model = GCN(4, 3, num_layers=2, out_channels=2).eval()
    options: Keep = {"population": 3, "generations": generations, "checkpoint": path}
    search = EvolutionaryPruning(model, args, lambda small: 0.5, progress=False, **options)
    mask = search.run()
    assert mask.shape == (search.dependency.num_groups,)
    search.compact(mask)


@cache
def search() -> Keep:
    """What a search of two generations leaves."""
    with tempfile.TemporaryDirectory() as folder:
        evolve(Path(folder) / "search.pt", 2)
        return load_checkpoint(Path(folder) / "search.pt")


@parser(lambda: told(search(), ("generator",)), ValueError)
def pruning_resume(content: bytes, folder: Path) -> None:
    if put_state(content, search(), folder / "search.pt"):
        with named(folder):
            evolve(folder / "search.pt", 3)


@cache
def large_graph() -> tempfile.TemporaryDirectory[str]:
    """A graph as the long run makes it, of forty nodes; gone with the process."""
    room = tempfile.TemporaryDirectory()
    write_graph(Path(room.name) / "graph", large.source(40, 200))
    return room


class Plain(nn.Module):
    """A model whose kernels need no time to be compiled."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(large.CHANNELS, large.CLASSES)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.lin(x)


def train_large(folder: Path) -> None:
    place = mock.patch.object(accounts, "environment", return_value={})
    with place, mock.patch.multiple(large, BATCH=4, SAVED_EVERY=1, GAT=Plain):
        ledger = Ledger(folder / "figures.json")
        graph = open_graph(Path(large_graph().name) / "graph")
        large.train(graph, folder, 40, 8, ledger)
    assert ledger.is_done("training")


@cache
def large_training() -> Keep:
    """What a training of two batches leaves, after its first."""
    with tempfile.TemporaryDirectory() as folder, redirect_stderr(StringIO()):
        train_large(Path(folder))
        return {**load_checkpoint(Path(folder) / "training.pt.previous")}


@parser(lambda: told(large_training(), ("model", "optimizer")), ValueError)
def large_resume(content: bytes, folder: Path) -> None:
    (folder / "figures.json").unlink(missing_ok=True)
    if put_state(content, large_training(), folder / "training.pt"):
        with redirect_stderr(StringIO()), named(folder):
            train_large(folder)
