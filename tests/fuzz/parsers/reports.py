"""What measurements keep, and the tables that are made of it; accounts of long runs."""

from __future__ import annotations

import io
import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from rich.console import Console

from benchmarks.harness import recipe
from benchmarks.report import tables
from benchmarks.report.batches import mini_batches
from benchmarks.report.gpu import gpu_table
from benchmarks.report.scale import scale_table
from benchmarks.scale import growth
from benchmarks.scale import ledger as accounts
from benchmarks.scale.ledger import Ledger
from benchmarks.zoo import measure as zoo
from graphkit.datasets import DamagedDataError, MissingDataError
from tests.fuzz.parsers.reading import named, put
from tests.fuzz.registry import parser

SPENT = {"seconds": 1.5, "cpu_seconds": 2.0, "peak_memory_mb": 70, "starts": 2, "done": True}
FIGURES = {
    "nodes": 10,
    "edges": 100,
    "writing": {**SPENT, "megabytes": 3.5},
    "sampling": {**SPENT, "edges": 40, "batch_size": 8},
    "training": {**SPENT, "seeds": 4, "edges": 30, "last_loss": 0.5, "digest": "ab"},
    "inference": {**SPENT, "nodes": 10, "accuracy": 0.25, "digest": "cd"},
}
PLACE = {"processor": "a processor", "threads": 2, "commit": "abc"}
SCALE = {"rows": [FIGURES], "undisturbed": [FIGURES], "environment": PLACE}
GPU = {
    "environment": {"device": "a GPU"},
    "checks": [{"right": True, "error": 0.0}, {"what": "the rest", "right": True, "skipped": ""}],
    "copy_bytes_per_second": 4e12,
    "times": [
        {"what": "attention", "edges": 100, "backward": True, "ours, ms": 0.5, "PyG, ms": 8.0}
        | {"dtype": "float32", "share_of_copy": 0.6},
        {"what": "attention", "edges": 1000, "skipped": "no time was left"},
    ],
}
MEGABYTES = {"megabytes": {"CS": {"64": 3.5, "full": 35}, "CS, PyG's layers": {"64": 20.5}}}
SWEEP = [
    {"labels {}": {"test": 0.5}, 'lsp {"weight": 10.0, "kernel": "rbf"}': {"test": 0.52}},
    {"labels {}": {"test": 0.4}, 'lsp {"weight": 10.0, "kernel": "rbf"}': {"test": 0.54}},
]


def text_of(value: object) -> list[bytes]:
    return [json.dumps(value).encode()]


@parser(lambda: text_of(SCALE), DamagedDataError)
def scale_report(content: bytes, folder: Path) -> None:
    with named(folder):
        assert "processor seconds" in scale_table(put(folder, "scale.json", content))


@parser(lambda: text_of(GPU), DamagedDataError)
def gpu_report(content: bytes, folder: Path) -> None:
    with named(folder):
        assert "checks right" in gpu_table(put(folder, "gpu.json", content))


@cache
def batches_recipe() -> recipe.Recipe:
    """A recipe of mini-batches as if it had been run."""
    found = recipe.load("sage-batches-cs")
    metric = {"mean": 0.5, "std": 0.1}
    names = ("difference", "full_test_accuracy", "batches_test_accuracy")
    found.reproduced = {"metrics": dict.fromkeys(names, metric), "seeds": 3}
    return found


@parser(lambda: text_of(MEGABYTES), DamagedDataError)
def memory_report(content: bytes, folder: Path) -> None:
    with named(folder):
        text = mini_batches([batches_recipe()], put(folder, "memory.json", content))
    assert "sage-batches-cs" in text


@parser(lambda: text_of(SWEEP), DamagedDataError)
def sweep_report(content: bytes, folder: Path) -> None:
    put(folder, "sweep-distill-cora-shallow.json", content)
    with mock.patch.object(tables, "RESULTS", folder), named(folder):
        tables.sweep([distillation()])


@cache
def distillation() -> recipe.Recipe:
    return recipe.load("distill-cora")


@parser(lambda: text_of(FIGURES), DamagedDataError)
def account(content: bytes, folder: Path) -> None:
    """An account that goes on: a part again, another one to its end."""
    with named(folder):
        kept = Ledger(put(folder, "figures.json", content))
    kept.is_done("writing")
    # Asking Git for the commit takes longer than all the rest.
    with mock.patch.object(accounts, "environment", return_value=PLACE):
        for part in ("training", "inference"):
            kept.begin(part)
            kept.end({"accuracy": 0.5})
    assert kept.is_done("inference")


@parser(lambda: text_of(FIGURES), DamagedDataError)
def growth_figures(content: bytes, folder: Path) -> None:
    """The account of a size, read while it runs and when it is over."""
    put(folder, "figures.json", content)
    with named(folder):
        figures = growth.figures_of(folder)
        figures.get("training", {}).get("seconds", 0.0)
        row = growth.row_of(folder, figures)
    growth.show([row], Console(file=io.StringIO()))


SOURCES = ("a", "b", "scratch")
ACCURACY = {t: {s: {"mean": 0.5, "std": 0.1} for s in SOURCES} for t in ("a", "b")}
TABLE: dict[str, Any] = {
    "networks": ["a", "b"],
    "finetune": {"draws": 1, "accuracy": ACCURACY, "commit": "ab"},
}


@parser(lambda: [yaml.safe_dump(TABLE).encode()], ValueError, MissingDataError)
def zoo_table(content: bytes, folder: Path) -> None:
    put(folder, "zoo-graphs.yaml", content)
    with mock.patch.object(zoo, "RESULTS", folder):
        truth(folder)


def truth(folder: Path) -> None:
    """A zoo's table, as protocols take it."""
    with named(folder):
        names, values = zoo.load_table("graphs", "finetune")
    assert values.shape == (len(names), len(names))
    assert all(isinstance(name, str) for name in names)


class Module:
    """A zoo of two networks, of which one is as good as the other."""

    TASKS = ("a", "b")

    @staticmethod
    def mark(budget: object) -> str:
        return "mark"

    @staticmethod
    def pretrained(name: str, budget: object) -> str:
        return name

    untrained = pretrained

    @staticmethod
    def finetune(network: str, target: str, budget: object, draw: int) -> float:
        return 0.5


@parser(lambda: text_of({"accuracy": ACCURACY["a"], "seconds": 1.5}), ValueError)
def zoo_transfers(content: bytes, folder: Path) -> None:
    """A row that an earlier call has measured, as it gets into the table."""
    put(folder, "zoo-graphs.yaml", yaml.safe_dump(TABLE).encode())
    shutil.rmtree(folder / "zoo", ignore_errors=True)
    kept: Any = zoo.Zoo(Module, zoo.MIXED)
    with (
        mock.patch.object(zoo, "RESULTS", folder),
        mock.patch.object(zoo, "cache_root", return_value=folder),
        mock.patch.object(zoo, "environment", return_value=PLACE),
        mock.patch.object(zoo, "track", lambda items, _: items),
        mock.patch.dict(zoo.ZOOS, graphs=kept),
    ):
        zoo.measure("graphs", "finetune")
        for path in (folder / "zoo").rglob("b.json"):
            path.write_bytes(content)
        with named(folder):
            part = zoo.measure("graphs", "finetune")
        assert part is not None
        zoo.write("graphs", "finetune", part)
        truth(folder)
