"""A command from its words to its results: recipes one after another, or several at a time."""

# fingerprint: not counted

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.harness import recipe as recipes
from benchmarks.harness.outputs import check_folder
from benchmarks.harness.progress import Display
from benchmarks.harness.recipe import Recipe

__all__ = ["PLAIN", "Command"]

PLAIN = {"accelerator": "cpu", "devices": 1, "num_nodes": 1, "precision": "32-true"}


@dataclass(frozen=True)
class Command:
    """What the command line says about a run of recipes.

    Args:
        names (iterable of str): Recipes, groups, patterns, files of one's own, or ``all``.
        seeds (int or tuple of int, optional): Number of seeds, or the seeds themselves.
            (default: the recipes' own number)
        launch (dict, optional): Arguments of :func:`graphkit.train.make_fabric`.
            (default: one process on the CPU)
        assignments (iterable of str, optional): Changes ``section.key=value``. (default: none)
        out (Path, optional): Folder of states, results and plots.
        resume (bool, optional): Continues what an earlier, killed command left there.
        record (bool, optional): Keeps the figures in ``benchmarks/results``.
        jobs (str, optional): Recipes at a time, or ``auto``; with ``cluster`` processes.
            (default: :obj:`"1"`)
        cluster (bool, optional): Hands seeds to dask.
        scheduler (str, optional): Address of dask's scheduler.
            (default: processes of this machine)
        missing (bool, optional): Runs only recipes without figures or with stale ones, cheapest
            first, and those alone whose data are here.
        without_data (dict): Filled by the run: recipes left out for want of data, and why.
    """

    names: Iterable[str]
    seeds: int | tuple[int, ...] | None = None
    launch: dict[str, Any] = field(default_factory=dict)
    assignments: Iterable[str] = ()
    out: Path = Path("runs")
    resume: bool = False
    record: bool = False
    jobs: str = "1"
    cluster: bool = False
    scheduler: str | None = None
    missing: bool = False
    without_data: dict[str, str] = field(default_factory=dict)

    def recipes(self) -> list[Recipe]:
        """The recipes, read, changed and checked, before any of them runs.

        Raises:
            ValueError: If one is unknown or wrong, or changed ones are to be recorded.
        """
        loaded = [recipes.load(name).set(self.assignments) for name in recipes.expand(self.names)]
        for place, recipe in enumerate(loaded):
            if any(recipe.name == other.name for other in loaded[:place]):
                raise ValueError(f"two recipes are called '{recipe.name}'; rename one file")
            if self.record and recipe.file is not None:
                raise ValueError(
                    f"--record keeps figures of graphkit's own recipes; those of '{recipe.path}' "
                    f"go into '{self.out / 'results.json'}', and with --json into another file"
                )
        if self.record:
            self.check_record()
        if not self.missing:
            return loaded
        from benchmarks.harness.missing import outstanding

        if self.assignments or self.cluster:
            raise ValueError(
                "--missing runs recipes as they are, on this machine; leave out --set and --cluster"
            )
        if self.seeds is not None:
            asked = self.seeds if isinstance(self.seeds, int) else len(self.seeds)
            loaded = [replace(recipe, seeds=asked) for recipe in loaded]
        ready, without = outstanding(loaded)
        self.without_data.update(without)
        return ready

    def check_record(self) -> None:
        """Raises unless the figures may be kept as those of the recipes."""
        if self.assignments or isinstance(self.seeds, tuple):
            raise ValueError(
                "--record keeps figures of the recipe as it is; leave out --set and --seed"
            )
        # What code does in half precision alone ages no record: none may be made in it.
        precision = self.launch.get("precision", PLAIN["precision"])
        if precision != PLAIN["precision"]:
            raise ValueError(
                f"--record keeps figures in full precision; leave out --precision {precision}"
            )

    def finished(self) -> str:
        """How much of an interrupted command is finished and kept, in words."""
        done, begun = 0, []
        for name in recipes.expand(self.names):
            folder = self.out / "state" / recipes.load(name).name
            seeds = len(list(folder.glob("seed-*.json")))
            done += seeds
            begun += [name] if folder.exists() else []
        return f"{done} seeds of {len(begun)} recipes are finished and kept in '{self.out}'"

    def run(self, quiet: bool = False) -> list[dict[str, Any]]:
        """Runs all recipes; their results in the order of the recipes.

        Args:
            quiet (bool, optional): Shows no progress. (default: :obj:`False`)

        Raises:
            ValueError: If a recipe is wrong or the folder cannot be written, before any runs.
        """
        from benchmarks.harness import runner
        from benchmarks.harness.cluster import run_on_cluster
        from benchmarks.harness.side_by_side import processes, run_side_by_side
        from graphkit.datasets import MissingDataError
        from graphkit.train import make_fabric

        loaded = self.recipes()
        check_folder("--out", self.out)
        plain = self.launch in ({}, PLAIN)
        if self.cluster and not plain:
            raise ValueError(
                "--cluster computes each seed in one process on a CPU; leave out --devices, "
                "--nodes, --accelerator and --precision"
            )
        if self.scheduler is not None and not self.cluster:
            raise ValueError("--scheduler is the address of a --cluster; add that")
        fabric = None if plain else make_fabric(**self.launch)
        launch = {} if plain else self.launch
        options = runner.Options(self.seeds, self.out, self.resume, fabric, launch, self.missing)
        # Seeds of a cluster are shared out there, not here.
        at_once = 1 if self.cluster else processes(self.jobs, len(loaded), plain)
        results: dict[str, dict[str, Any]] = {}
        found: Generator[tuple[Recipe, dict[str, Any] | MissingDataError], None, None]
        total = sum(len(options.seeds_of(recipe)) for recipe in loaded)
        with Display(total, quiet=quiet) as display:
            if self.cluster:
                found = run_on_cluster(loaded, options, display, self.jobs, self.scheduler)
            elif at_once > 1:
                found = run_side_by_side(loaded, options, display, at_once)
            else:
                found = ((recipe, runner.attempt(recipe, options, display)) for recipe in loaded)
            # Closed, processes at work end with whatever ends this one, such as a full disk.
            with closing(found):
                for recipe, result in found:
                    if isinstance(result, MissingDataError):
                        self.without_data[recipe.name] = str(result)
                        continue
                    results[recipe.name] = result
                    # At once, not at the end: a command that is killed keeps what is done.
                    if self.record and options.leads:
                        runner.record(recipe, result)
        return [results[recipe.name] for recipe in loaded if recipe.name in results]
