"""Runs recipes: seed after seed, resumable, with progress."""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness import records, references, states
from benchmarks.harness.environment import environment, peak_memory_mb, reset_peak_memory
from benchmarks.harness.fingerprint import code_fingerprint
from benchmarks.harness.fitting import Fitter
from benchmarks.harness.keys import OFFERED, parameters
from benchmarks.harness.progress import Display, EpochWatch
from benchmarks.harness.recipe import Recipe
from benchmarks.harness.spent import SpentTime
from benchmarks.rivals.nodes import ACCELERATE, BASELINES
from graphkit.catalog import ROOMS
from graphkit.datasets import MissingDataError
from graphkit.files import replacing

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def write_text(path: Path, text: str) -> None:
    """Replaces a file whole or not at all."""
    with replacing(path) as file:
        file.write(text.encode())


@dataclass
class Options:
    """What the command line says about a run.

    Args:
        seeds (int or tuple of int, optional): Number of seeds, or the seeds themselves;
            :obj:`None` takes the recipe's own number.
        out (Path): Folder of states, results and plots.
        resume (bool): Continue what an earlier, killed command left in ``out``.
        fabric (Fabric, optional): The processes that share the work; else just this one.
        launch (dict, optional): What ``fabric`` was made of: precision, devices and the like.
        missing (bool): Goes on where a recipe's data are not here, and starts afresh where what
            an earlier command left was computed by other code. Where the first seed gives again
            what was recorded, by other code too, the recorded figures stay.
    """

    seeds: int | tuple[int, ...] | None = None
    out: Path = Path("runs")
    resume: bool = False
    fabric: Fabric | None = None
    launch: dict[str, Any] = field(default_factory=dict)
    missing: bool = False

    def seeds_of(self, recipe: Recipe) -> list[int]:
        """The seeds that a recipe runs with."""
        if isinstance(self.seeds, tuple):
            return list(self.seeds)
        return list(range(self.seeds or recipe.seeds))

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes."""
        return self.fabric is None or self.fabric.is_global_zero

    def barrier(self) -> None:
        """Waits for the other processes."""
        if self.fabric is not None:
            self.fabric.barrier()


def fingerprint(recipe: Recipe) -> str:
    """Identifies the settings of a recipe."""
    text = json.dumps([recipe.protocol, recipe.sections], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def names_in(value: Any) -> Iterator[str]:
    """Models, strategies and data sets that a recipe's sections name, and ``accelerate``."""
    if isinstance(value, dict):
        if isinstance(value.get("name"), str):
            yield value["name"]
        if value.get(ACCELERATE) is True:
            yield ACCELERATE
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from names_in(item)


def code_of(recipe: Recipe) -> str:
    """Identifies the code that a recipe runs: protocol, training loop, and all it names."""
    named = [name for name in names_in(recipe.sections) if references.is_reference(name)]
    roots = [(Fitter.__module__, Fitter.__name__)]
    if references.is_reference(recipe.protocol):
        named.append(recipe.protocol)
    else:
        roots.append((recipe.module.__name__, "run"))
    cards = recipe.cards
    packages = [importlib.import_module(f"graphkit.{room}") for room in ROOMS]
    for name in names_in(recipe.sections):
        if name in BASELINES:
            roots.append((BASELINES[name].__module__, BASELINES[name].__name__))
        if name.lower() in cards:
            module, _, cls = cards[name.lower()].loader.partition(":")
            roots.append((module, cls))
        roots += [(room.__name__, name) for room in packages if name in room.__all__]
    return code_fingerprint(roots) + references.hash_of(named)


def facts_of(recipe: Recipe, options: Options) -> dict[str, str]:
    """All that a seed's figures depend on, the seed aside."""
    return {
        "settings": fingerprint(recipe),
        "launch": json.dumps(options.launch, sort_keys=True),
        "code": code_of(recipe),
        "data": states.data_of(recipe.dataset, recipe.card),
    }


def run_seed(
    recipe: Recipe, seed: int, folder: Path, options: Options, display: Display
) -> dict[str, Any]:
    """One seed of a recipe; a seed finished earlier is read back when resuming."""
    done = folder / f"seed-{seed}.json"
    if options.resume and done.exists():
        return states.read(done)
    spent = SpentTime(folder / f"seed-{seed}.spent", options.resume, options.leads)
    fit = Fitter(
        recipe.sections.get("train", {}),
        seed,
        options.fabric,
        folder / f"seed-{seed}",
        options.resume,
        (EpochWatch(display), spent),
    )
    sections = {name: value for name, value in recipe.sections.items() if name != "train"}
    offered = {"seed": seed, "fit": fit, "note_size": fit.note_size}
    taken = {name: offered[name] for name in OFFERED if name in parameters(recipe.module.run)}
    metrics = numbers(recipe.module.run(**sections, **taken), recipe.protocol)
    outcome = {
        "metrics": metrics,
        "seconds": spent.seconds,
        "parameters": fit.parameters,
        "peak_memory_mb": peak_memory_mb(),
    }
    if options.leads:
        states.write(done, outcome)
        shutil.rmtree(folder / f"seed-{seed}", ignore_errors=True)
    spent.done()
    options.barrier()
    return outcome


def numbers(metrics: Any, protocol: str) -> dict[str, float]:
    """What a protocol's ``run`` gave back, checked; one-element tensors become numbers."""
    if not isinstance(metrics, dict):
        raise ValueError(f"'run' of protocol '{protocol}' must return a mapping, got {metrics!r}")
    values = {}
    for name, value in metrics.items():
        try:
            values[name] = value if type(value) in (int, float) else float(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(
                f"metric '{name}' of protocol '{protocol}' must be a number, got {value!r}"
            ) from error
    return values


def run_recipe(recipe: Recipe, options: Options, display: Display) -> dict[str, Any]:
    """All seeds of a recipe, as one entry of the results."""
    seeds, facts = options.seeds_of(recipe), facts_of(recipe, options)
    reset_peak_memory()
    place, outcomes = options.out / "state", []
    if options.missing and states.differences(place, recipe.name, facts):
        options = replace(options, resume=False)
    with states.only_writer(place, recipe.name, options.leads):
        folder = states.state_folder(place, recipe.name, facts, options.resume, options.leads)
        options.barrier()
        for seed in seeds:
            display.start_seed(recipe.name, seed)
            outcome = run_seed(recipe, seed, folder, options, display)
            outcomes.append(outcome)
            display.end_seed(recipe.name, seed, outcome["metrics"].get(recipe.module.MAIN))
            # Asked after the first seed alone: if it differs, all are new figures.
            first = options.missing and len(outcomes) == 1
            if first and keeps(recipe, outcome["metrics"], facts["settings"], len(seeds)):
                display.keep_seeds(recipe.name, len(seeds) - 1)
                return confirmed(recipe, facts["code"])
    return summed_up(recipe, seeds, outcomes, facts)


def summed_up(
    recipe: Recipe, seeds: list[int], outcomes: list[dict[str, Any]], facts: dict[str, str]
) -> dict[str, Any]:
    """The entry of a recipe all of whose seeds were run.

    Raises:
        ValueError: If a seed lacks a metric of another one; no mean over some of them is given.
    """
    names = list(dict.fromkeys(name for each in outcomes for name in each["metrics"]))
    for seed, each in zip(seeds, outcomes, strict=True):
        lacking = [name for name in names if name not in each["metrics"]]
        if lacking:
            raise ValueError(
                f"'run' of protocol '{recipe.protocol}' gave no '{lacking[0]}' for seed {seed}, "
                "but for another one; every seed must give the same, NaN where there is none"
            )
    return {
        "recipe": recipe.name,
        "metrics": {name: spread([each["metrics"][name] for each in outcomes]) for name in names},
        "main": recipe.module.MAIN,
        "seeds": seeds,
        "seconds": sum(o["seconds"] for o in outcomes),
        "peak_memory_mb": max(o["peak_memory_mb"] for o in outcomes),
        "parameters": max(o["parameters"] for o in outcomes),
        "settings": facts["settings"],
        "code": facts["code"],
        "environment": environment(),
    }


def keeps(recipe: Recipe, first: dict[str, float], settings: str, seeds: int) -> bool:
    """Whether recorded figures stay: the same settings, and the first seed gives them again."""
    before = recipe.reproduced
    return before.get("settings") == settings and records.confirms(before, first, seeds)


def confirmed(recipe: Recipe, code: str) -> dict[str, Any]:
    """The entry of a result whose recorded figures stay, under today's code."""
    before = recipe.reproduced
    return {
        "recipe": recipe.name,
        "metrics": before["metrics"],
        "main": recipe.module.MAIN,
        "seeds": list(range(before["seeds"])),
        "seconds": 60 * before["minutes"],
        "peak_memory_mb": peak_memory_mb(),
        "parameters": before["parameters"],
        "settings": before["settings"],
        "code": code,
        "environment": environment(),
        "confirmed": True,
    }


def attempt(
    recipe: Recipe, options: Options, display: Display
) -> dict[str, Any] | MissingDataError:
    """All seeds of a recipe, or with ``options.missing`` the error that its data are not here."""
    try:
        return run_recipe(recipe, options, display)
    except MissingDataError as error:
        if options.missing:
            return error
        raise


def spread(values: list[float]) -> dict[str, Any]:
    """Mean, sample standard deviation and the values."""
    return {
        "mean": statistics.fmean(values),
        "std": records.deviation(values),
        "values": values,
    }


def record(recipe: Recipe, result: dict[str, Any]) -> None:
    """Keeps a result as the recipe's ``reproduced``, in a file of its own."""
    place = result["environment"]
    if result.get("confirmed"):
        kept = {"code": result["code"], "confirmed": place["commit"]}
        records.write(recipe.name, recipe.reproduced | kept)
        return
    block = {
        "metrics": {
            name: {"mean": round(m["mean"], 5), "std": round(m["std"], 5), "values": m["values"]}
            for name, m in result["metrics"].items()
        },
        "seeds": len(result["seeds"]),
        "minutes": round(result["seconds"] / 60, 2),
        "parameters": result["parameters"],
        "commit": place["commit"],
        "code": result["code"],
        "settings": result["settings"],
        "versions": {k: v for k, v in place["versions"].items() if k != "graphkit"},
        "processor": f"{place['processor']}, {place['threads']} threads",
    }
    records.write(recipe.name, block)
