"""Results of recipes: one file each in ``benchmarks/results``, written by the runner alone."""

# fingerprint: not counted

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from benchmarks.harness import plain_yaml
from benchmarks.harness.environment import ROOT
from graphkit.files import replacing

__all__ = ["ResultError", "names", "path_of", "read", "write"]

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


class ResultError(ValueError):
    """A file of results that is not as the runner writes it; names the file and what is wrong."""


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
        file.write(yaml.safe_dump(content, sort_keys=False, width=100).encode())
    return path


def remedy(name: str) -> str:
    """What to do about a damaged file."""
    return f"restore it, or run: python -m benchmarks run {name} --record"


def fault_of(content: Any) -> str:
    """What is wrong with a result, or nothing."""
    if not isinstance(content, dict):
        return "it holds no mapping"
    for key in (*FIELDS, *content):
        if key not in content:
            return f"the key '{key}' is missing"
        if key not in FIELDS:
            return f"unknown key {key!r}"
        if not isinstance(content[key], FIELDS[key]) or isinstance(content[key], bool):
            return f"'{key}' has the wrong type: {content[key]!r}"
    if content["seeds"] < 1:
        return f"'seeds' must be positive, got {content['seeds']}"
    for name, metric in content["metrics"].items():
        if not isinstance(metric, dict) or set(metric) != {"mean", "std"}:
            return f"metric '{name}' must hold 'mean' and 'std', got {metric!r}"
        if not all(type(value) in (int, float) for value in metric.values()):
            return f"metric '{name}' must hold numbers, got {metric!r}"
    return ""
