"""Things of one's own in a recipe: models, data sets and protocols by ``module:Class``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner

from benchmarks.cli import app
from benchmarks.harness import recipe as recipes
from benchmarks.harness import references, runner
from benchmarks.harness.errors import RecipeError

MODULE = """
import torch
from torch_geometric.data import Data

class Net(torch.nn.Module):
    def __init__(self, in_channels, out_channels, scale: float = 1.0):
        super().__init__()
        self.lin = torch.nn.Linear(in_channels, out_channels)

    def forward(self, x, edge_index):
        return self.lin(x)

class Narrow(torch.nn.Module):
    def __init__(self, width):
        super().__init__()

def graph():
    y = torch.arange(30) % 3
    x = torch.nn.functional.one_hot(y, 3).float()
    return Data(x=x, y=y, edge_index=torch.empty(2, 0, dtype=torch.long))

class Toy:
    MAIN = "score"

    def run(self, *, seed: int, size: int = 3):
        return {"score": torch.tensor(seed / size)}

class NoMain:
    def run(self, *, seed):
        return {}

MAIN = "double"

def run(*, seed):
    return {"double": 2.0 * seed}

def words(*, seed):
    return {"double": "two"}
"""
TOY = {"about": "A toy.", "protocol": "things_of_mine:Toy", "size": 4, "seeds": 2}
NODES = {
    "about": "My net on my graph.",
    "protocol": "node_classification",
    "dataset": {"name": "things_of_mine:graph", "split": "random", "train_per_class": 3},
    "model": {"name": "things_of_mine:Net", "scale": 2},
    "train": {"epochs": 2, "lr": 0.1},
    "seeds": 1,
}
NODES["dataset"] |= {"val_per_class": 3, "normalize_features": False}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder outside the checkout, with a module, as the current one."""
    (tmp_path / "things_of_mine.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each != ""])
    yield tmp_path
    sys.modules.pop("things_of_mine", None)


def write(content: object, name: str = "mine.yaml") -> str:
    Path(name).write_text(yaml.safe_dump(content))
    return name


def run(*words: str) -> tuple[int, str, list[dict]]:
    done = CliRunner().invoke(app, ["run", *words, "--jobs", "1"])
    file = Path("runs/results.json")
    results = json.loads(file.read_text())["results"] if file.exists() else []
    return done.exit_code, done.stderr, results


def test_a_protocol_of_ones_own_runs_with_the_seeds_that_are_named(place: Path) -> None:
    code, errors, (result,) = run(write(TOY), "--seed", "8,2")
    assert code == 0, errors
    assert result["recipe"] == "mine"
    assert result["seeds"] == [8, 2]
    assert result["metrics"]["score"]["values"] == [2.0, 0.5]


def test_a_model_and_a_graph_of_ones_own(place: Path) -> None:
    code, errors, (result,) = run(write(NODES))
    assert code == 0, errors
    assert result["parameters"] == 3 * 3 + 3
    assert 0 <= result["metrics"]["test_accuracy"]["mean"] <= 1


def test_a_function_may_be_the_protocol(place: Path) -> None:
    content = {key: value for key, value in TOY.items() if key != "size"}
    code, errors, (result,) = run(write({**content, "protocol": "things_of_mine:run"}))
    assert code == 0, errors
    assert result["metrics"][result["main"]]["values"] == [0.0, 2.0]


def test_what_a_reference_is() -> None:
    assert references.is_reference("a.b:C.d")
    assert not any(map(references.is_reference, ("a", "a:", ":b", "a b:c", "C:\\a", "a/b:c", 3)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol": "things_of_mine:Tay"}, "no 'Tay' in 'things_of_mine'; did you mean 'Toy'"),
        ({"protocol": "things_of_mien:Toy"}, "no module 'things_of_mien' in"),
        ({"protocol": "things_of_mine:NoMain"}, "has no 'MAIN'"),
        ({"protocol": "things_of_mine:Net"}, "cannot be made without arguments"),
        ({"protocol": "things_of_mine:graph"}, "has no 'MAIN'|unknown key"),
        ({"size": "four"}, "'size' takes a whole number, got 'four' (a word)"),
        ({"size": True}, "'size' takes a whole number, got True (true or false)"),
    ],
)
def test_what_is_wrong_with_ones_own_is_said_before_the_run(
    place: Path, change: dict, message: str
) -> None:
    with pytest.raises(RecipeError) as error:
        recipes.load(write({**TOY, **change}))
    assert any(part in str(error.value) for part in message.split("|"))


def test_a_model_must_take_the_widths(place: Path) -> None:
    content = {**NODES, "model": {"name": "things_of_mine:Narrow", "width": 3}}
    with pytest.raises(RecipeError, match="must take the keyword 'in_channels'"):
        recipes.load(write(content))


def test_a_metric_must_be_a_number(place: Path) -> None:
    content = {key: value for key, value in TOY.items() if key != "size"}
    code, errors, _ = run(write({**content, "protocol": "things_of_mine:words"}))
    assert code == 1
    assert "metric 'double' of protocol 'things_of_mine:words' must be a number" in errors


def test_the_hash_of_the_code_follows_ones_own_file(place: Path) -> None:
    before = runner.code_of(recipes.load(write(TOY)))
    (place / "things_of_mine.py").write_text(MODULE + "# more")
    assert runner.code_of(recipes.load("mine.yaml")) != before


def test_the_hash_follows_the_file_that_names_a_thing_and_that_which_makes_it(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(place)
    inner, outer = place / "inner_things.py", place / "outer_things.py"
    inner.write_text("def make(size=1): ...\n")
    text = "import functools, inner_things\nfrom inner_things import make\n"
    outer.write_text(text + "large = functools.partial(make, 3)\n")
    names = ["outer_things:make", "outer_things:large"]
    first = [references.hash_of([name]) for name in names]
    outer.write_text(text + "large = functools.partial(make, 4)\n")
    second = [references.hash_of([name]) for name in names]
    assert all(before != after for before, after in zip(first, second, strict=True))
    inner.write_text("def make(size=2): ...\n")
    assert references.hash_of(names[:1]) != second[0]


def test_a_saved_graph_is_a_data_set(place: Path) -> None:
    torch.save(references.imported("things_of_mine:graph")(), "graph.pt")
    code, errors, _ = run(write(NODES), "--set", "dataset.name=graph.pt")
    assert code == 0, errors
    with pytest.raises(RecipeError, match=r"there is no file 'grph.pt'"):
        recipes.load("mine.yaml").set(["dataset.name=grph.pt"])
