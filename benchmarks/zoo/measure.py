"""Measures every transfer of a zoo and keeps the table."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.progress import track
from torch import Tensor

from benchmarks.harness import plain_yaml
from benchmarks.harness.environment import environment
from benchmarks.zoo import graph_zoo
from benchmarks.zoo.images import image_zoo
from graphkit.datasets import MissingDataError, cache_root
from graphkit.files import replacing
from graphkit.guard import reading
from graphkit.json_values import number
from graphkit.text_files import read_json

__all__ = ["MEASURES", "ZOOS", "Zoo", "load_table", "measure", "table_path"]

RESULTS = Path(__file__).parent.parent / "results"


@dataclass(frozen=True)
class Zoo:
    """A zoo's module and how its networks are trained."""

    module: Any
    budget: Any


MIXED = graph_zoo.Budget(networks=tuple(graph_zoo.NETWORKS))
ZOOS = {
    "images": Zoo(image_zoo, image_zoo.Budget()),
    "graphs": Zoo(graph_zoo, graph_zoo.Budget()),
    "graphs-mixed": Zoo(graph_zoo, MIXED),
}
MEASURES = ("finetune", "probe")
SCRATCH = "scratch"


def table_path(name: str) -> Path:
    """Where the table of a zoo is kept."""
    return RESULTS / f"zoo-{name}.yaml"


def load_table(name: str, measure: str = "finetune") -> tuple[list[str], Tensor]:
    """The names of a zoo's networks and the accuracies: a row per target, a column per source.

    The diagonal, where source and target are the same network, is NaN.
    """
    if not table_path(name).is_file():
        raise MissingDataError(
            f"there is no table '{table_path(name)}'; python -m benchmarks.zoo {name} {measure} "
            "measures it"
        )
    with reading(table_path(name)):
        table = dict(plain_yaml.read_file(table_path(name)))
    if measure not in MEASURES or measure not in table:
        there = [kind for kind in MEASURES if kind in table]
        raise ValueError(
            f"'measure' must be one of {there} in '{table_path(name)}', got {measure!r}"
        )
    with reading(table_path(name), measure):
        names, accuracies = table["networks"], table[measure]["accuracy"]
        rows = [
            [number(accuracies[target][source]["mean"], "'mean'") for source in names]
            for target in names
        ]
        truth = torch.tensor(rows, dtype=torch.double).view(len(names), len(names))
        return list(names), truth.masked_fill(torch.eye(len(names), dtype=torch.bool), torch.nan)


def mean_of(cell: dict[str, float]) -> dict[str, float]:
    """Mean and deviation of an accuracy that was kept."""
    return {key: number(cell[key], f"'{key}'") for key in ("mean", "std")}


def spread(values: list[float]) -> dict[str, float]:
    """Mean and standard deviation over draws of labels."""
    accuracies = torch.tensor(values, dtype=torch.double)
    deviation = float(accuracies.std()) if len(values) > 1 else 0.0
    return {"mean": round(float(accuracies.mean()), 4), "std": round(deviation, 4)}


def measure(
    name: str, kind: str, draws: int = 1, minutes: float | None = None
) -> dict[str, Any] | None:
    """Trains the zoo, measures all transfers in one way, and returns that part of the table.

    What is finished stays in the cache folder: a network when it is trained, a target when all
    transfers to it are measured; a later call goes on from there.

    Args:
        name (str): One of :obj:`ZOOS`.
        kind (str): ``"finetune"`` or ``"probe"``.
        draws (int, optional): Draws of the target's labels. (default: :obj:`1`)
        minutes (float, optional): Stop after so many, before the next network or target, and
            return nothing. (default: :obj:`None`)
    """
    zoo, clock = ZOOS[name], Clock(minutes)
    settings = [name, kind, draws, asdict(zoo.budget), zoo.module.mark(zoo.budget)]
    key = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]
    folder = cache_root() / "zoo" / f"transfers-{name}-{kind}-{key}"
    networks: dict[str, Any] = {}
    for network in track(zoo.module.TASKS, "pre-training"):
        if clock.over:
            return None
        networks[network] = zoo.module.pretrained(network, zoo.budget)
    rows: dict[str, Any] = {}
    for target in track(list(networks), f"measuring transfers, {kind}"):
        path = folder / f"{target}.json"
        if not path.is_file():
            if clock.over:
                return None
            row = transfers_to(zoo, target, networks, kind, draws)
            with replacing(path) as file:
                file.write(json.dumps(row).encode())
        with reading(path, advice="delete it, and the transfers are measured again"):
            row = read_json(path)
            accuracy = {source: mean_of(row["accuracy"][source]) for source in (*networks, SCRATCH)}
            rows[target] = {"accuracy": accuracy, "seconds": number(row["seconds"], "'seconds'")}
    return {
        "command": f"python -m benchmarks.zoo {name} {kind} --draws {draws}",
        "draws": draws,
        "minutes": round(sum(row["seconds"] for row in rows.values()) / 60, 2),
        "accuracy": {target: row["accuracy"] for target, row in rows.items()},
    }


class Clock:
    """Says when some minutes are over; never, without a number."""

    def __init__(self, minutes: float | None) -> None:
        self.end = None if minutes is None else time.monotonic() + 60 * minutes

    @property
    def over(self) -> bool:
        """Whether they are."""
        return self.end is not None and time.monotonic() > self.end


def transfers_to(
    zoo: Zoo, target: str, networks: dict[str, Any], kind: str, draws: int
) -> dict[str, Any]:
    """All transfers to one target, and the seconds that took."""
    started, judge = time.perf_counter(), getattr(zoo.module, kind)
    scratch = zoo.module.untrained(target, zoo.budget)
    accuracies = {
        source: spread([judge(network, target, zoo.budget, draw) for draw in range(draws)])
        for source, network in {**networks, SCRATCH: scratch}.items()
    }
    return {"accuracy": accuracies, "seconds": time.perf_counter() - started}


def write(name: str, kind: str, part: dict[str, Any]) -> Path:
    """Puts a part into the table that the recipes read."""
    path, place = table_path(name), environment()
    with reading(path):
        table = dict(plain_yaml.read_file(path)) if path.is_file() else {}
    table |= {
        "about": "Test accuracy on each target (row) of each source (column), few labels of the "
        "target; 'scratch' is the target's own network untrained.",
        "budget": asdict(ZOOS[name].budget),
        "networks": list(part["accuracy"]),
        "processor": f"{place['processor']}, {place['threads']} threads",
        kind: {**part, "commit": place["commit"]},
    }
    text = yaml.safe_dump(table, sort_keys=False, width=100, default_flow_style=None)
    with replacing(path) as file:
        file.write(text.encode())
    return path
