"""What the runner and the trainer read: recipes, settings, results, states, checkpoints."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from unittest import mock

import torch
import yaml

from benchmarks.harness import fingerprint, recipe, records, states
from benchmarks.harness.errors import RecipeError
from graphkit.train.checkpoint import load_checkpoint, rng_state, save_checkpoint
from tests.fuzz.parsers.reading import put
from tests.fuzz.registry import parser


@cache
def recipes() -> list[bytes]:
    """Recipes of this checkout, the first of several protocols, and one with every field."""
    by_protocol = {}
    for path in sorted(recipe.FOLDER.glob("*.yaml")):
        content = yaml.safe_load(path.read_text())
        by_protocol.setdefault(content["protocol"], path.read_bytes())
    return list(by_protocol.values())[:12]


@parser(recipes, RecipeError, name="recipe")
def recipe_file(content: bytes, folder: Path) -> None:
    path = put(folder, "a.yaml", content)
    read = recipe.load(str(path))
    assert read.seeds >= 1
    assert isinstance(read.about, str)


SETTINGS = (
    *(b"train.epochs=50", b"train.lr=1e-4", b"model.heads=8", b"dataset.name=CiteSeer"),
    b"train.weight_decay=0.0005",
)


@parser(lambda: SETTINGS, RecipeError, name="setting")
def setting(content: bytes, folder: Path) -> None:
    """``--set`` on a recipe."""
    plain().set([content.decode("utf-8", "replace")])


@cache
def plain() -> recipe.Recipe:
    """A recipe to set something of."""
    train = {"epochs": 1, "lr": 0.1}
    model = {"name": "GAT", "hidden_channels": 8, "heads": 1}
    sections = {"dataset": {"name": "Cora"}, "model": model, "train": train}
    return recipe.Recipe("a", "", "node_classification", 1, sections)


@cache
def results() -> list[bytes]:
    return [records.path_of(name).read_bytes() for name in records.names()[:4]]


@parser(results, records.ResultError, name="result")
def result(content: bytes, folder: Path) -> None:
    put(folder, "a.yaml", content)
    with mock.patch.object(records, "FOLDER", folder):
        read = records.read("a")
    assert read["seeds"] >= 1


def sealed(text: bytes) -> bytes:
    """A state of the runner with the right checksum."""
    return hashlib.sha256(text).hexdigest().encode() + b"\n" + text


STATE = json.dumps({"settings": "ab", "launch": "{}", "metrics": {"test_accuracy": 0.5}}).encode()


@parser(lambda: [sealed(STATE)], ValueError, name="state")
def state(content: bytes, folder: Path) -> None:
    assert isinstance(states.read(put(folder, "a", content)), dict)


@parser(lambda: [STATE], ValueError, name="state_sealed")
def state_of_others(content: bytes, folder: Path) -> None:
    """What somebody sealed who is not the runner."""
    assert isinstance(states.read(put(folder, "a", sealed(content))), dict)


@parser(lambda: [sealed(STATE), sealed(b'{"[]": "ab"}')], name="known_hashes")
def known(content: bytes, folder: Path) -> None:
    """The cache of fingerprints: never an error."""
    fingerprint.read_known(put(folder, "a", content))


@parser(lambda: [b'{"[]": "ab", "[[]]": "cd"}'], name="known_hashes_sealed")
def known_of_others(content: bytes, folder: Path) -> None:
    values = fingerprint.read_known(put(folder, "a", sealed(content)))
    assert all(isinstance(value, str) for value in values.values())


@cache
def checkpoints() -> list[bytes]:
    import tempfile

    content = {"graphkit_checkpoint": 1, "rng": rng_state()["torch"][:64], "model": {}}
    content["model"] = {"weight": torch.ones(2, 3), "bias": torch.zeros(2, dtype=torch.bfloat16)}
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(content, Path(folder) / "a.pt")
        return [(Path(folder) / "a.pt").read_bytes()]


@parser(checkpoints, ValueError)
def checkpoint(content: bytes, folder: Path) -> None:
    path = put(folder, "a.pt", content)
    assert "graphkit_checkpoint" in load_checkpoint(path)
