"""Recipes: benchmark runs as data, checked against the code that they drive."""

# fingerprint: not counted

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from benchmarks.harness import plain_yaml, records, references, sources
from benchmarks.harness.errors import RecipeError
from benchmarks.harness.keys import OFFERED, check_keys, check_value, parameters
from graphkit.words import did_you_mean

if TYPE_CHECKING:
    from graphkit.datasets import DatasetCard

FOLDER = Path(__file__).parent.parent / "recipes"
FIELDS = ("about", "protocol", "seeds", "group", "reported", "hours_a_seed")
HEAD = {
    "about": str,
    "protocol": str,
    "group": str,
    "reported": dict[str, dict[str, Any]],
    "hours_a_seed": float,
}


@dataclass
class Recipe:
    """One benchmark run as data.

    Args:
        name (str): ``<method>-<dataset>``, the name of the YAML file.
        about (str): One sentence.
        protocol (str): The module in ``benchmarks/protocols`` that carries it out, or
            ``module:Class`` of one's own.
        seeds (int): Number of seeds when none is asked for.
        sections (dict): Keyword arguments of the protocol's ``run``.
        reported (dict): Published figures: ``{metric: {mean, std, source}}``.
        reproduced (dict): Our figures, from ``benchmarks/results``; empty where it was not run.
        group (str): A name under which recipes are run together.
        hours_a_seed (float, optional): What one seed takes on one core, given where that is too
            long for an ordinary machine.
        file (Path, optional): The file of a recipe that is not of this checkout.
    """

    name: str
    about: str
    protocol: str
    seeds: int
    sections: dict[str, Any]
    reported: dict[str, Any] = field(default_factory=dict)
    reproduced: dict[str, Any] = field(default_factory=dict)
    group: str = ""
    hours_a_seed: float | None = None
    file: Path | None = None

    @property
    def path(self) -> Path:
        """The recipe's file."""
        return self.file or FOLDER / f"{self.name}.yaml"

    @property
    def module(self) -> Any:
        """The protocol: a module, or what ``module:Class`` names."""
        if references.is_reference(self.protocol):
            return references.protocol(self.protocol, f"recipe '{self.name}'")
        return importlib.import_module(f"benchmarks.protocols.{self.protocol}")

    @property
    def dataset(self) -> str:
        """Name of the data set."""
        section = self.sections.get("dataset", {})
        return str(section.get("name", "")) if isinstance(section, dict) else ""

    @property
    def cards(self) -> dict[str, DatasetCard]:
        """Cards of data sets by name in small letters, as case does not matter where they are
        loaded: graphkit's, and those that the protocol brings along."""
        from graphkit.datasets import dataset_cards

        own: dict[str, DatasetCard] = getattr(self.module, "CARDS", {})
        cards = {card.name: card for card in dataset_cards()} | own
        return {name.lower(): card for name, card in cards.items()}

    @property
    def card(self) -> DatasetCard | None:
        """The card of the recipe's data set."""
        return self.cards.get(self.dataset.lower())

    def set(self, assignments: Iterable[str]) -> Recipe:
        """A copy with ``section.key=value`` assignments (values are YAML) applied and checked; what
        was ``reproduced`` is not of a changed recipe."""
        assignments = list(assignments)
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
        reproduced = {} if assignments else self.reproduced
        changed = dataclasses.replace(self, sections=sections, reproduced=reproduced)
        validate(changed)
        return changed


def parse(text: str) -> Any:
    """A YAML value; ``1e-4`` is a number as well, which YAML 1.1 takes for a word."""
    try:
        value = plain_yaml.read_text(text)
    except ValueError as error:
        raise RecipeError(f"--set: '{text}' is no YAML value: {error}") from error
    number = isinstance(value, str) and re.fullmatch(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+", value)
    return float(value) if number else value


def names() -> list[str]:
    """Names of all recipes of this checkout, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def expand(wanted: Iterable[str]) -> list[str]:
    """Recipe names behind what a user typed.

    That is a name, a name with ``*``, a group, a protocol, ``all`` for those of this checkout, or
    the path of a YAML file.
    """
    import fnmatch

    expanded: list[str] = []
    for word in wanted:
        if word == "all":
            matches = names()
        elif sources.is_file(word):
            matches = [word]
        else:
            known = [*names(), *sources.installed()]
            matches = fnmatch.filter(known, word) or members(word) or [word]
        expanded += [name for name in matches if name not in expanded]
    return expanded


def members(group: str) -> list[str]:
    """Names of the recipes with ``group: GROUP`` or else ``protocol: GROUP``, sorted."""
    files = {**{name: FOLDER / f"{name}.yaml" for name in names()}, **sources.installed()}
    for key in ("group", "protocol"):
        line = f"{key}: {group}"
        matches = [name for name, path in files.items() if line in lines_of(path)]
        if matches:
            return matches
    return []


def lines_of(path: Path) -> list[str]:
    """Lines of a file; what is wrong with it, reading it as a recipe says."""
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []


def load(name: str) -> Recipe:
    """Reads and checks a recipe: by its name, or by the path of a file of one's own."""
    path, file = FOLDER / f"{name}.yaml", None
    if sources.is_file(name):
        path = file = sources.file_of(name)
        name = file.stem
    elif not path.exists():
        packages = sources.installed()
        if name not in packages:
            hint = did_you_mean(name, [*names(), *packages])
            raise RecipeError(
                f"there is no recipe '{name}'; {hint} A file of your own ends in .yaml"
            )
        path = file = packages[name]
    content = read(path, name)
    if "reproduced" in content:
        place = "no recipe" if file else records.path_of(name)
        raise RecipeError(f"recipe '{name}': 'reproduced' belongs into {place}")
    head = {key: content.pop(key) for key in FIELDS if key in content}
    reproduced = {} if file else records.read(name)
    recipe = Recipe(name=name, sections=content, reproduced=reproduced, file=file, **head)
    validate(recipe)
    return recipe


def read(path: Path, name: str) -> dict[str, Any]:
    """The mapping in a recipe's file, with the keys that none goes without."""
    try:
        content = plain_yaml.read_file(path)
    except ValueError as error:
        raise RecipeError(f"recipe '{name}': {path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"recipe '{name}': {path} holds no mapping")
    for key in ("about", "protocol", "seeds"):
        if key not in content:
            raise RecipeError(f"recipe '{name}': the key '{key}' is missing")
    for key, kind in HEAD.items():
        if key in content:
            check_value(f"recipe '{name}'", key, content[key], kind)
    for key in content:
        if not isinstance(key, str):
            raise RecipeError(f"recipe '{name}': the key {key!r} is no word")
    return content


def validate(recipe: Recipe) -> None:
    """Checks every key of a recipe against the real signatures."""
    where = f"recipe '{recipe.name}'"
    known = [path.stem for path in (FOLDER.parent / "protocols").glob("[!_]*.py")]
    if recipe.protocol not in known and not references.is_reference(recipe.protocol):
        raise RecipeError(
            f"{where}: unknown protocol '{recipe.protocol}'; "
            f"{did_you_mean(str(recipe.protocol), known)} One of your own is module:Class"
        )
    if not isinstance(recipe.seeds, int) or isinstance(recipe.seeds, bool) or recipe.seeds < 1:
        raise RecipeError(f"{where}: 'seeds' must be a positive integer, got {recipe.seeds!r}")
    hours = recipe.hours_a_seed
    if hours is not None and not 0 < hours < float("inf"):
        raise RecipeError(f"{where}: 'hours_a_seed' must be a positive number, got {hours!r}")
    module = recipe.module
    sections = dict(recipe.sections)
    # The fitter holds the section "train": who takes the one needs the other.
    if "fit" in parameters(module.run) and sections.pop("train", None) is None:
        raise RecipeError(f"{where}: the key 'train' is missing")
    check_keys(where, sections, module.run, provided=OFFERED)
    # Sections of other names are values that only the protocol understands, and checks itself.
    for section, value in recipe.sections.items():
        place = f"{where}, section '{section}'"
        if section not in CHECKED:
            continue
        if not isinstance(value, dict):
            raise RecipeError(f"{place}: must be a mapping, got {value!r}")
        CHECKED[section](place, value, module)


def check_dataset(place: str, value: dict[str, Any], module: Any) -> None:
    """Keys of the section ``dataset``, and whether a data set of one's own is there."""
    if hasattr(module, "load"):
        check_keys(place, value, module.load)
    name = str(value.get("name", ""))
    if references.is_reference(name):
        references.imported(name, place)
    elif name.endswith(".pt") and not Path(name).expanduser().is_file():
        raise RecipeError(f"{place}: there is no file '{name}' in '{Path.cwd()}'")


def check_train(place: str, value: dict[str, Any], module: Any) -> None:
    """Keys and values of the section ``train``."""
    from torch import optim

    from benchmarks.harness.fitting import Settings

    check_keys(place, value, Settings)
    known = [name for name, each in vars(optim).items() if isinstance(each, type)]
    if value.get("optimizer", "Adam") not in known:
        hint = did_you_mean(value["optimizer"], known)
        raise RecipeError(f"{place}: 'optimizer' is no optimizer: '{value['optimizer']}'; {hint}")


def check_model(place: str, value: dict[str, Any], module: Any) -> None:
    """Keys of the section ``model`` against the model that it names."""
    from benchmarks.rivals.nodes import ACCELERATE, BASELINES, SPARSE, model_class

    if "name" not in value:
        raise RecipeError(f"{place}: the key 'name' is missing")
    cls = model_class(value["name"], place)
    other_keys = ["name"]
    if value["name"] in BASELINES:
        other_keys += [ACCELERATE, SPARSE]
        for key in (ACCELERATE, SPARSE):
            check_value(place, key, value.get(key, False), bool)
        if value.get(SPARSE) and not value.get(ACCELERATE):
            raise RecipeError(f"{place}: '{SPARSE}' needs '{ACCELERATE}: true'")
    widths = ("in_channels", "out_channels")
    if references.is_reference(value["name"]):
        taken = parameters(cls)
        anything = any(each.kind is each.VAR_KEYWORD for each in taken.values())
        for width in widths:
            if width not in taken and not anything:
                raise RecipeError(f"{place}: '{value['name']}' must take the keyword '{width}'")
    arguments = {key: item for key, item in value.items() if key not in other_keys}
    check_keys(place, arguments, cls, provided=widths)


CHECKED = {"dataset": check_dataset, "train": check_train, "model": check_model}
"""Sections whose keys are those of something that is known before the run."""
