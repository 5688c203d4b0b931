"""Weights, kernels and layers of the distillation arms, chosen on validation nodes.

    python -m benchmarks.studies.distillation_sweep distill-cora --student shallow --seeds 3

Seeds begin at 1000, so that none of a recipe's own seeds is used for choosing. The figures of
every option go to ``sweep-….json`` in the folder ``--out`` after each seed.
"""

from __future__ import annotations

import argparse
import json
import statistics
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.harness import recipe as recipes
from benchmarks.harness.fitting import Fitter
from benchmarks.harness.runner import write_text
from benchmarks.problems.distillation import load
from benchmarks.protocols.distillation import Network
from graphkit.train import seed_everything

FIRST_SEED = 1000
WEIGHTS = (0.1, 1.0, 10.0)
GRID: dict[str, list[dict[str, Any]]] = {
    "labels": [{}],
    "kd": [{"weight": w} for w in (*WEIGHTS, 100.0)],
    "fitnet": [{"weight": w} for w in WEIGHTS],
    "at": [{"weight": w} for w in WEIGHTS],
    "mmd": [{"weight": w} for w in WEIGHTS],
    "gsp": [{"weight": w} for w in WEIGHTS],
    "gcrd": [{"weight": w, "max_samples": 512} for w in (0.01, *WEIGHTS)],
    "lsp": [
        {"weight": w, "kernel": kernel}
        for kernel, w in product(("rbf", "linear", "polynomial"), (0.01, *WEIGHTS, 100.0))
    ],
}


def options_of(arm: str, recipe: recipes.Recipe, student: str) -> list[dict[str, Any]]:
    """What is tried for an arm; LSP also on the output, or on points where that is of graphs."""
    if arm != "lsp":
        return GRID[arm]
    other = ["convs.0"] * 2 if "graph" in recipe.sections["students"][student] else [""] * 2
    return [{**options, **layer} for layer in ({}, {"pair": other}) for options in GRID[arm]]


def sweep(
    recipe: recipes.Recipe, student: str, seed: int, arms: list[str]
) -> dict[str, dict[str, float]]:
    """Validation and test scores of every option for one seed."""
    sections = recipe.sections
    problem = load(**{**sections["dataset"], "seed": seed})
    fit = Fitter(sections["train"], seed)
    seed_everything(seed)
    master = Network(sections["teacher"], problem)
    master.learn(fit, problem, "teacher")
    scores = {}
    for arm in arms:
        for options in options_of(arm, recipe, student):
            seed_everything(seed)
            pupil = Network(sections["students"][student], problem)
            model, callbacks = pupil.attach(master, problem, arm, options)
            name = f"{arm} {json.dumps(options)}"
            by_part = pupil.learn(fit, problem, arm, model, callbacks)
            scores[name] = {part: round(score, 4) for part, score in by_part.items()}
    return scores


def main() -> None:
    """Prints the mean of every option over the seeds, the best of each arm marked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", help="a recipe of the distillation protocol")
    parser.add_argument("--student", default="shallow")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", nargs="+", default=list(GRID), choices=list(GRID))
    parser.add_argument("--out", type=Path, default=Path("runs"))
    options = parser.parse_args()
    recipe = recipes.load(options.recipe)
    runs: list[dict[str, dict[str, float]]] = []
    for seed in range(FIRST_SEED, FIRST_SEED + options.seeds):
        runs.append(sweep(recipe, options.student, seed, options.arms))
        file = options.out / f"sweep-{recipe.name}-{options.student}.json"
        write_text(file, json.dumps(runs, indent=1))
        print(f"seed {seed} done, {file}", flush=True)
    means = {
        name: {part: statistics.fmean(run[name][part] for run in runs) for part in ("val", "test")}
        for name in runs[0]
    }
    for arm in options.arms:
        rows = {name: mean for name, mean in means.items() if name.split()[0] == arm}
        best = max(rows, key=lambda name: rows[name]["val"])
        for name, mean in rows.items():
            mark = "*" if name == best else " "
            print(f"{mark} val {mean['val']:.4f}  test {mean['test']:.4f}  {name}")


if __name__ == "__main__":
    main()
