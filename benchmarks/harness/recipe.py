"""Recipes: benchmark runs as data, checked against the code that they drive."""

# fingerprint: not counted

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from benchmarks.harness import records
from benchmarks.harness.errors import RecipeError
from benchmarks.harness.keys import OFFERED, check_keys, parameters
from graphkit.words import did_you_mean

FOLDER = Path(__file__).parent.parent / "recipes"
FIELDS = ("about", "protocol", "seeds", "group", "reported")


@dataclass
class Recipe:
    """One benchmark run as data.

    Args:
        name (str): ``<method>-<dataset>``, the name of the YAML file.
        about (str): One sentence.
        protocol (str): The module in ``benchmarks/protocols`` that carries it out.
        seeds (int): Number of seeds when none is asked for.
        sections (dict): Keyword arguments of the protocol's ``run``.
        reported (dict): Published figures: ``{metric: {mean, std, source}}``.
        reproduced (dict): Our figures, from ``benchmarks/results``; empty where it was not run.
        group (str): A name under which recipes are run together.
    """

    name: str
    about: str
    protocol: str
    seeds: int
    sections: dict[str, Any]
    reported: dict[str, Any] = field(default_factory=dict)
    reproduced: dict[str, Any] = field(default_factory=dict)
    group: str = ""

    @property
    def path(self) -> Path:
        """The recipe's file."""
        return FOLDER / f"{self.name}.yaml"

    @property
    def module(self) -> ModuleType:
        """The protocol's module."""
        return importlib.import_module(f"benchmarks.protocols.{self.protocol}")

    @property
    def dataset(self) -> str:
        """Name of the data set."""
        return self.sections.get("dataset", {}).get("name", "")

    def set(self, assignments: Iterable[str]) -> Recipe:
        """A copy with ``section.key=value`` assignments (values are YAML) applied and checked."""
        sections = yaml.safe_load(yaml.safe_dump(self.sections))
        for text in assignments:
            path, sign, value = text.partition("=")
            if not sign:
                raise RecipeError(f"--set takes key=value, got '{text}'")
            *parents, last = path.split(".")
            place = sections
            for parent in parents:
                place = place.setdefault(parent, {})
                if not isinstance(place, dict):
                    raise RecipeError(f"--set {text}: '{parent}' is a value, not a section")
            place[last] = parse(value)
        changed = Recipe(self.name, self.about, self.protocol, self.seeds, sections, self.reported)
        validate(changed)
        return changed


def parse(text: str) -> Any:
    """A YAML value; ``1e-4`` is a number as well, which YAML 1.1 takes for a word."""
    value = yaml.safe_load(text)
    number = isinstance(value, str) and re.fullmatch(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+", value)
    return float(value) if number else value


def names() -> list[str]:
    """All recipes' names, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def expand(wanted: Iterable[str]) -> list[str]:
    """Recipe names behind what a user typed: a name, a name with ``*``, a group, or ``all``."""
    import fnmatch

    expanded: list[str] = []
    for word in wanted:
        pattern = "*" if word == "all" else word
        matches = fnmatch.filter(names(), pattern) or members(word) or [word]
        expanded += [name for name in matches if name not in expanded]
    return expanded


def members(group: str) -> list[str]:
    """Names of the recipes with ``group: GROUP``, sorted."""
    line = f"group: {group}"
    return [name for name in names() if line in (FOLDER / f"{name}.yaml").read_text().splitlines()]


def load(name: str) -> Recipe:
    """Reads and checks the recipe :obj:`name`."""
    path = FOLDER / f"{name}.yaml"
    if not path.exists():
        raise RecipeError(f"there is no recipe '{name}'; {did_you_mean(name, names())}")
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise RecipeError(f"recipe '{name}': {path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"recipe '{name}': {path} holds no mapping")
    for key in ("about", "protocol", "seeds"):
        if key not in content:
            raise RecipeError(f"recipe '{name}': the key '{key}' is missing")
    if "reproduced" in content:
        raise RecipeError(f"recipe '{name}': 'reproduced' belongs into {records.path_of(name)}")
    head = {key: content.pop(key) for key in FIELDS if key in content}
    recipe = Recipe(name=name, sections=content, reproduced=records.read(name), **head)
    validate(recipe)
    return recipe


def validate(recipe: Recipe) -> None:
    """Checks every key of a recipe against the real signatures."""
    from benchmarks.harness.fitting import Settings
    from benchmarks.rivals.nodes import model_class

    where = f"recipe '{recipe.name}'"
    known = [path.stem for path in (FOLDER.parent / "protocols").glob("[!_]*.py")]
    if recipe.protocol not in known:
        raise RecipeError(
            f"{where}: unknown protocol '{recipe.protocol}'; {did_you_mean(recipe.protocol, known)}"
        )
    if not isinstance(recipe.seeds, int) or recipe.seeds < 1:
        raise RecipeError(f"{where}: 'seeds' must be a positive integer, got {recipe.seeds!r}")
    module = recipe.module
    sections = dict(recipe.sections)
    # The fitter holds the section "train": who takes the one needs the other.
    if "fit" in parameters(module.run) and sections.pop("train", None) is None:
        raise RecipeError(f"{where}: the key 'train' is missing")
    check_keys(where, sections, module.run, provided=OFFERED)
    # Sections of other names are values that only the protocol understands, and checks itself.
    for section, value in recipe.sections.items():
        place = f"{where}, section '{section}'"
        if section not in ("dataset", "model", "train"):
            continue
        if not isinstance(value, dict):
            raise RecipeError(f"{place}: must be a mapping, got {value!r}")
        if section == "dataset":
            check_keys(place, value, module.load)
        elif section == "train":
            check_keys(place, value, Settings)
        else:
            if "name" not in value:
                raise RecipeError(f"{place}: the key 'name' is missing")
            cls = model_class(value["name"], place)
            rest = {key: item for key, item in value.items() if key != "name"}
            check_keys(place, rest, cls, provided=("in_channels", "out_channels"))
