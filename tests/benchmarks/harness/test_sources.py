"""Recipes from files and installed packages."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from benchmarks.cli import app
from benchmarks.harness import recipe as recipes
from benchmarks.harness import sources
from benchmarks.harness.errors import RecipeError
from benchmarks.report import listing

KARATE = (recipes.FOLDER / "gcn-karate.yaml").read_text()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed package that brings a recipe, as pip leaves it, and one that brings none."""
    for name, value in (("labkit", "labkit.recipes"), ("bare", "bare.missing")):
        (tmp_path / name / "recipes").mkdir(parents=True)
        (tmp_path / name / "__init__.py").write_text("")
        about = tmp_path / f"{name}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[{sources.GROUP}]\n{name} = {value}\n")
    folder = tmp_path / "labkit" / "recipes"
    (folder / "__init__.py").write_text("raise RuntimeError('listing recipes runs nothing')")
    (folder / "foo-karate.yaml").write_text(KARATE + "group: labkit\n")
    monkeypatch.syspath_prepend(tmp_path)
    sources.installed.cache_clear()
    yield folder
    sources.installed.cache_clear()
    for name in ("labkit", "bare"):
        sys.modules.pop(name, None)


def test_an_installed_package_brings_recipes(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert importlib.metadata.entry_points(group=sources.GROUP)
    with pytest.warns(UserWarning, match=r"entry point 'bare': 'bare\.missing' is no package"):
        assert sources.installed() == {"labkit/foo-karate": package / "foo-karate.yaml"}
    recipe = recipes.load("labkit/foo-karate")
    assert recipe.path == package / "foo-karate.yaml"
    assert recipe.dataset == "KarateClub"
    assert recipes.expand(["labkit"]) == recipes.expand(["lab*"]) == ["labkit/foo-karate"]
    assert "labkit/foo-karate" not in recipes.expand(["all"])
    # Reading all recipes of this checkout is tested elsewhere, and takes seconds.
    monkeypatch.setattr(listing, "names", lambda: ["gcn-karate"])
    done = CliRunner().invoke(app, ["list", "labkit"])
    assert "gcn-karate" not in done.stdout
    assert "labkit/foo-karate" in done.stdout, done.stderr


@pytest.mark.filterwarnings("ignore:no recipes from entry point")
def test_a_recipe_of_an_installed_package_is_run_and_resumed(package: Path, tmp_path: Path) -> None:
    words = ["run", "labkit/foo-karate", "--seeds", "1", "--set", "train.epochs=2", "--out"]
    for further in ([], ["--resume"]):
        done = CliRunner().invoke(app, [*words, str(tmp_path / "out"), *further])
        assert done.exit_code == 0, done.stderr
    assert (tmp_path / "out" / "state" / "labkit" / "foo-karate" / "seed-0.json").is_file()


BRACKETS = """
import math

class Protocol:
    MAIN = "hits[easy]"

    def run(self, dataset, seed):
        return {self.MAIN: math.nan}
"""


def test_brackets_and_what_is_no_number_are_shown_and_kept_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "brackets.py").write_text(BRACKETS)
    file = tmp_path / "mine[a].yaml"
    file.write_text("about: x\nprotocol: brackets:Protocol\nseeds: 1\ndataset: {}\n")
    monkeypatch.syspath_prepend(tmp_path)
    done = CliRunner().invoke(app, ["run", str(file), "--out", str(tmp_path / "out[b]")])
    assert done.exit_code == 0, done.stderr
    assert "mine[a]  seed 0  nan" in done.stderr
    for words in ("hits[easy] nan", "mine[a]", f"results: {tmp_path}/out[b]/results.json"):
        assert words in done.stdout
    text = (tmp_path / "out[b]" / "results.json").read_text()
    (result,) = json.loads(text, parse_constant=pytest.fail)["results"]
    assert result["metrics"] == {"hits[easy]": {"mean": None, "std": 0.0, "values": [None]}}


def test_a_file_is_a_recipe(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(KARATE)
    recipe = recipes.load(str(file))
    assert (recipe.name, recipe.path, recipe.reproduced) == ("mine", file, {})
    assert recipe.set(["train.epochs=3"]).path == file
    with pytest.raises(RecipeError, match=r"no file '.*mien.yaml'; .* holds mine.yaml"):
        recipes.load(str(tmp_path / "mien.yaml"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--record"], "--record keeps figures of graphkit's own recipes"),
        (["--set", "train.epochs=many"], "'epochs' takes a whole number, got 'many' (a word)"),
        (["--set", "train.optimizer=Adm"], "did you mean 'Adam'"),
        (["--set", "train.lr=["], "is no YAML value"),
        (["--set", "model.hidden_channels=8.5"], "takes a whole number, got 8.5 (a number)"),
        (["--set", "dataset.name=KarateCub"], "did you mean 'KarateClub'"),
        (["--json", "."], "--json .: this is a folder"),
        (["--json", "mine.yaml/x.json"], "cannot write there: "),
        (["--out", "mine.yaml"], "--out mine.yaml: cannot write there: "),
        (["mine2/mine.yaml"], "two recipes are called 'mine'"),
    ],
)
def test_a_wrong_word_is_named_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine2").mkdir()
    for file in ("mine.yaml", "mine2/mine.yaml"):
        Path(file).write_text(KARATE)
    done = CliRunner().invoke(app, ["run", "mine.yaml", "--jobs", "1", *words])
    assert done.exit_code == 1
    assert message in done.stderr.replace("\n", " ")
    assert not list(tmp_path.glob("runs/state/*/seed-*.json"))


def test_options_before_a_command_are_not_dropped(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["--seeds", "2", "run", "gcn-karate", "--out", str(tmp_path)])
    assert done.exit_code == 1
    assert "give --seeds behind the command" in done.stderr


def test_figures_of_chosen_seeds_are_not_recorded(tmp_path: Path) -> None:
    words = ["run", "gcn-karate", "--seed", "3", "--record", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert "leave out --set and --seed" in done.stderr


def test_a_recipe_without_a_mapping_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"about": "x", "protocol": "a:b"}))
    with pytest.raises(RecipeError, match="the key 'seeds' is missing"):
        recipes.load(str(file))


def test_figures_in_half_precision_are_not_recorded(tmp_path: Path) -> None:
    words = ["run", "gcn-karate", "--precision", "bf16-mixed", "--record", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert "leave out --precision bf16-mixed" in done.stderr.replace("\n", " ")
