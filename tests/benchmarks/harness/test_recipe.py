"""Recipes are checked against the signatures of what they drive."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from benchmarks.harness import recipe as recipes
from benchmarks.harness.errors import RecipeError

GOOD = {
    "about": "A test.",
    "protocol": "node_classification",
    "dataset": {"name": "KarateClub"},
    "model": {"name": "GCN", "hidden_channels": 4},
    "train": {"epochs": 2, "lr": 0.1},
    "seeds": 1,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "protocols").symlink_to(recipes.FOLDER.parent / "protocols")
    (tmp_path / "recipes").mkdir()
    monkeypatch.setattr(recipes, "FOLDER", tmp_path / "recipes")
    return tmp_path / "recipes"


def write(folder: Path, content: object) -> None:
    (folder / "x.yaml").write_text(yaml.safe_dump(content))


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_is_valid(name: str) -> None:
    recipe = recipes.load(name)
    assert recipe.about.endswith(".")
    assert recipe.module.MAIN
    for metric, figure in recipe.reported.items():
        assert {"mean", "source"} <= set(figure), f"{name}: {metric}"


def test_a_good_recipe_passes(folder: Path) -> None:
    write(folder, GOOD)
    assert recipes.load("x").dataset == "KarateClub"


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        (None, {"protocl": "x"}, r"recipe 'x': unknown key 'protocl'"),
        (None, {"protocol": "node_clasification"}, r"did you mean 'node_classification'"),
        (None, {"seeds": 0}, r"'seeds' must be a positive integer, got 0"),
        (None, {"hours_a_seed": "many"}, r"'hours_a_seed' takes a number, got 'many'"),
        (None, {"hours_a_seed": 0}, r"'hours_a_seed' must be a positive number, got 0"),
        (None, {"reported": {"accuracy": 0.8}}, r"'reported' takes .*got {'accuracy': 0.8}"),
        (None, {"about": None}, r"the key 'about' is missing"),
        (None, {"dataset": None}, r"the key 'dataset' is missing"),
        (None, {"train": 3}, r"section 'train': must be a mapping, got 3"),
        (None, {"train": None}, r"the key 'train' is missing"),
        ("train", {"epoch": 3}, r"section 'train': unknown key 'epoch'; did you mean 'epochs'"),
        ("train", {"lr": None}, r"section 'train': the key 'lr' is missing"),
        ("model", {"hiden_channels": 3}, r"unknown key 'hiden_channels'; .*'hidden_channels'"),
        ("model", {"hidden_channels": None}, r"the key 'hidden_channels' is missing"),
        ("model", {"name": "GCM"}, r"unknown model 'GCM'; did you mean 'GCN'"),
        ("model", {"name": None}, r"section 'model': the key 'name' is missing"),
        ("dataset", {"splitt": "public"}, r"did you mean 'split'"),
    ],
)
def test_faults_are_named(folder: Path, section: str | None, change: dict, message: str) -> None:
    content = yaml.safe_load(yaml.safe_dump(GOOD))
    place = content if section is None else content[section]
    for key, value in change.items():
        if value is None:
            del place[key]
        else:
            place[key] = value
    write(folder, content)
    with pytest.raises(RecipeError, match=message):
        recipes.load("x")


def test_a_protocol_that_does_not_train_takes_no_training(folder: Path) -> None:
    content = {"about": "A test.", "protocol": "tracking", "dataset": {}, "seeds": 1}
    write(folder, content)
    assert recipes.load("x").protocol == "tracking"
    write(folder, {**content, "train": {"epochs": 2, "lr": 0.1}})
    with pytest.raises(RecipeError, match="unknown key 'train'"):
        recipes.load("x")


@pytest.mark.parametrize("text", ["- a list", "a: [unclosed"])
def test_files_that_are_no_recipe(folder: Path, text: str) -> None:
    (folder / "x.yaml").write_text(text)
    with pytest.raises(RecipeError, match="recipe 'x'"):
        recipes.load("x")


def test_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"no recipe 'gcn-coar'; did you mean .*'gcn-cora'"):
        recipes.load("gcn-coar")


def test_assignments() -> None:
    recipe = recipes.load("gcn-karate")
    changed = recipe.set(["train.epochs=3", "model.dropout=0.1"])
    assert changed.sections["train"]["epochs"] == 3
    assert changed.sections["model"]["dropout"] == 0.1
    assert recipe.sections["train"]["epochs"] != 3
    for bad in ("train.epoch=3", "train.epochs", "seeds.x=1", "train.epochs.x=1"):
        with pytest.raises(RecipeError):
            recipe.set([bad])


def test_expand() -> None:
    assert recipes.expand(["gcn-ci*", "gcn-cora", "nonsense"]) == [
        "gcn-citeseer",
        "gcn-cora",
        "nonsense",
    ]
    assert recipes.expand(["all"]) == recipes.names()


def test_a_group_stands_for_its_recipes(folder: Path) -> None:
    for name, group in (("a", "moments"), ("b", "other"), ("c", "moments")):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({**GOOD, "group": group}))
    assert recipes.expand(["moments"]) == ["a", "c"]
    assert recipes.expand(["b", "moments"]) == ["b", "a", "c"]
    assert recipes.expand(["nothing"]) == ["nothing"]
    assert recipes.load("a").group == "moments"


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-4", 1e-4), ("-2.5E3", -2500.0), ("3", 3), ("word", "word"), ("'1e-4 m'", "1e-4 m")],
)
def test_numbers_may_have_an_exponent_without_a_point(text: str, value: object) -> None:
    assert recipes.parse(text) == value
