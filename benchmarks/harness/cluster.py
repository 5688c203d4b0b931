"""Seeds handed to dask: processes of this machine, or those behind a scheduler anywhere.

A worker computes one seed in a folder of its own and sends back what it found; this process keeps
it where a run in turn would, so that ``--resume`` and the results are the same. A worker that dies
costs the seed in its hands, which another one computes again.
"""

# fingerprint: not counted

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness import states
from benchmarks.harness.progress import Display
from benchmarks.harness.recipe import Recipe
from benchmarks.harness.side_by_side import asked, cores, share

if TYPE_CHECKING:
    from benchmarks.harness.runner import Options

DEATHS = 5
"""Workers that may die over one seed before the seed is to blame."""


def run_alone(recipe: Recipe, seed: int, threads: int) -> dict[str, Any]:
    """What a worker does: one seed, as a run in turn computes it."""
    import torch

    from benchmarks.harness.runner import Options, facts_of, run_recipe

    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as out:
        options = Options((seed,), Path(out))
        run_recipe(recipe, options, Display(0, quiet=True))
        outcome = states.read(Path(out) / "state" / recipe.name / f"seed-{seed}.json")
    return {"outcome": outcome, "facts": facts_of(recipe, options)}


@contextmanager
def client_of(scheduler: str | None, workers: int) -> Iterator[Any]:
    """A client of a scheduler, or of processes that are started here and end with the block."""
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ImportError('--cluster needs dask: pip install "graphkit[cluster]"') from error
    with ExitStack() as stack:
        settings = {
            "distributed.scheduler.allowed-failures": DEATHS,
            # Threads are set for each seed; dask's own default would be one.
            "distributed.nanny.pre-spawn-environ": {},
        }
        stack.enter_context(dask.config.set(settings))
        if scheduler is None:
            stack.enter_context(share(workers))
            local = LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
            )
            scheduler = stack.enter_context(local)
        try:
            client = Client(scheduler, timeout="20s")
        except (OSError, ValueError) as error:
            raise ValueError(f"no scheduler answers at '{scheduler}': {error}") from error
        yield stack.enter_context(client)


def run_on_cluster(
    recipes: list[Recipe], options: Options, display: Display, jobs: str, scheduler: str | None
) -> Generator[tuple[Recipe, dict[str, Any]], None, None]:
    """Results as recipes are complete; after an error no further seed begins.

    Args:
        recipes (list of Recipe): The recipes.
        options (Options): Seeds, folder, whether to resume.
        display (Display): Where seeds are shown as they are done.
        jobs (str): Processes on this machine, or ``auto`` for one per core.
        scheduler (str, optional): Address of a scheduler to use instead.

    Raises:
        ValueError: If no scheduler answers, or a worker has other code or data.
        ImportError: If dask is missing.
    """
    from benchmarks.harness.runner import facts_of, run_recipe

    workers = asked(jobs, cores())
    threads = max(cores() // workers, 1) if scheduler is None else 1
    named = {recipe.name: recipe for recipe in recipes}
    facts = {recipe.name: facts_of(recipe, options) for recipe in recipes}
    place, quiet = options.out / "state", Display(0, quiet=True)
    with ExitStack() as stack:
        client = stack.enter_context(client_of(scheduler, workers))
        from distributed import as_completed

        # Seeds that an earlier command has left are not handed out again.
        running, left = {}, Counter[str]()
        held: dict[str, ExitStack] = {}
        for recipe in recipes:
            # Held until all seeds are there: another command would delete those that come.
            held[recipe.name] = stack.enter_context(ExitStack())
            held[recipe.name].enter_context(states.only_writer(place, recipe.name, True))
            folder = states.state_folder(
                place, recipe.name, facts[recipe.name], options.resume, True
            )
            for seed in options.seeds_of(recipe):
                if not (folder / f"seed-{seed}.json").exists():
                    future = client.submit(run_alone, recipe, seed, threads, pure=False)
                    running[future] = (recipe.name, seed)
                    left[recipe.name] += 1
        # A recipe is put together by the code that runs recipes in turn, from seeds that are done.
        again = replace(options, resume=True)
        for recipe in recipes:
            if not left[recipe.name]:
                held[recipe.name].close()
                yield recipe, run_recipe(recipe, again, quiet)
        for future in as_completed(list(running)):
            name, seed = running[future]
            # Raised here is what the recipe raised, or that a seed has killed too many workers.
            found = future.result()
            if found["facts"] != facts[name]:
                words = [
                    states.WORDS[k] for k in facts[name] if found["facts"][k] != facts[name][k]
                ]
                raise ValueError(f"a worker computed '{name}' with {' and '.join(words)}")
            states.write(place / name / f"seed-{seed}.json", found["outcome"])
            display.end_seed(name, seed, found["outcome"]["metrics"].get(named[name].module.MAIN))
            left[name] -= 1
            if not left[name]:
                held[name].close()
                yield named[name], run_recipe(named[name], again, quiet)
