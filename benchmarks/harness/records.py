"""Results of recipes: one file each in ``benchmarks/results``, written by the runner alone.

A metric holds its mean, its deviation and, in results of today's runner, the ``values`` of the
seeds in their order. Where code has changed and the first seed still gives its own values to the
last digit, the figures stay, and ``confirmed`` names the commit at which it did.
"""

# fingerprint: not counted

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.harness import plain_yaml
from benchmarks.harness.environment import ROOT
from graphkit.files import replacing

__all__ = [
    "ResultError",
    "can_confirm",
    "confirms",
    "deviation",
    "names",
    "path_of",
    "read",
    "write",
]

FOLDER = ROOT / "benchmarks" / "results"
TRANSFERS = "zoo-"
FIELDS: dict[str, type | tuple[type, ...]] = {
    "metrics": dict,
    "seeds": int,
    "minutes": (int, float),
    "parameters": int,
    "commit": str,
    "code": str,
    "settings": str,
    "versions": dict,
    "processor": str,
}
OPTIONAL = {"confirmed": str}


class ResultError(ValueError):
    """A file of results that is not as the runner writes it; names the file and what is wrong."""


class ShortLists(yaml.SafeDumper):
    """Mappings line by line, lists of numbers in a line."""


def bracketed(dumper: yaml.SafeDumper, numbers: list[float]) -> yaml.Node:
    """A list in brackets."""
    return dumper.represent_sequence("tag:yaml.org,2002:seq", numbers, flow_style=True)


ShortLists.add_representer(list, bracketed)


def path_of(name: str) -> Path:
    """The file of a recipe's result."""
    return FOLDER / f"{name}.yaml"


def names() -> list[str]:
    """Names of the recipes with a result, sorted; tables of measured transfers are none."""
    stems = (path.stem for path in FOLDER.glob("*.yaml"))
    return sorted(stem for stem in stems if not stem.startswith(TRANSFERS))


def read(name: str) -> dict[str, Any]:
    """The result of a recipe, checked; empty where it was not run."""
    path = path_of(name)
    if not path.exists():
        return {}
    try:
        content = plain_yaml.read_file(path)
    except ValueError as error:
        raise ResultError(f"{path} is not valid YAML: {error}; {remedy(name)}") from error
    fault = fault_of(content)
    if fault:
        raise ResultError(f"{path}: {fault}; {remedy(name)}")
    return content


def write(name: str, content: dict[str, Any]) -> Path:
    """Writes the result of a recipe, whole or not at all."""
    path, fault = path_of(name), fault_of(content)
    if fault:
        raise ResultError(f"{path} is left as it was: {fault}")
    with replacing(path) as file:
        file.write(text_of(content).encode())
    return path


def text_of(content: dict[str, Any]) -> str:
    """A result as it stands in its file."""
    return yaml.dump(content, Dumper=ShortLists, sort_keys=False, width=100)


def confirms(result: dict[str, Any], first: dict[str, float], seeds: int) -> bool:
    """Whether the first seed gave again what it gave when a result of so many seeds was written.

    Args:
        result (dict): The result that is kept, or nothing.
        first (dict): Metrics of the first seed.
        seeds (int): Seeds of the present run.
    """
    if not result or result["seeds"] != seeds:
        return False
    before = {name: metric.get("values", [None])[0] for name, metric in result["metrics"].items()}
    # What is not a number differs from itself, so such a result is computed anew.
    return before == first


def can_confirm(result: dict[str, Any], seeds: int) -> bool:
    """Whether a run of the first seed alone could confirm a result of so many seeds."""
    noted = all("values" in metric for metric in result["metrics"].values())
    return noted and bool(result["seeds"] == seeds)


def deviation(values: Sequence[float]) -> float:
    """The sample standard deviation: 0 of one value, not a number where a value is none."""
    if len(values) < 2:
        return 0.0
    return statistics.stdev(values) if all(map(math.isfinite, values)) else math.nan


def remedy(name: str) -> str:
    """What to do about a damaged file."""
    return f"restore it, or run: python -m benchmarks run {name} --record"


def fault_of(content: Any) -> str:
    """What is wrong with a result, or nothing."""
    if not isinstance(content, dict):
        return "it holds no mapping"
    known = FIELDS | OPTIONAL
    for key in (*FIELDS, *content):
        if key not in content:
            return f"the key '{key}' is missing"
        if key not in known:
            return f"unknown key {key!r}"
        if not isinstance(content[key], known[key]) or isinstance(content[key], bool):
            return f"'{key}' has the wrong type: {content[key]!r}"
    if content["seeds"] < 1:
        return f"'seeds' must be positive, got {content['seeds']}"
    for name, metric in content["metrics"].items():
        if not isinstance(metric, dict) or set(metric) - {"values"} != {"mean", "std"}:
            return f"metric '{name}' must hold 'mean' and 'std', got {metric!r}"
        values = metric.get("values", [])
        wanted = content["seeds"] if "values" in metric else 0
        if not isinstance(values, list) or len(values) != wanted:
            return (
                f"'values' of metric '{name}' must be a list of one for each seed, got {values!r}"
            )
        if not all(
            type(value) in (int, float) for value in (metric["mean"], metric["std"], *values)
        ):
            return f"metric '{name}' must hold numbers, got {metric!r}"
    return ""
