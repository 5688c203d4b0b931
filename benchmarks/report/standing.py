"""Which recipes have figures, which of these are stale, and what the others wait for."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.harness.missing import outstanding
from benchmarks.harness.recipe import Recipe
from benchmarks.report.markdown import markdown_table

__all__ = ["by_dataset", "standing", "waiting"]


def by_dataset(recipes: Iterable[Recipe]) -> dict[tuple[str, str], list[str]]:
    """Names of recipes by data set and how to get it, sorted; dashes where none is known."""
    found: dict[tuple[str, str], list[str]] = {}
    for recipe in sorted(recipes, key=lambda each: (each.dataset, each.name)):
        card = recipe.card
        key = (recipe.dataset or "–", "–" if card is None else card.source)
        found.setdefault(key, []).append(recipe.name)
    return found


def waiting(recipes: Iterable[Recipe]) -> str:
    """The table of recipes without figures, by data set, and how to get that; with the hours of a
    seed where these are too many for an ordinary machine."""
    recipes = list(recipes)
    without = by_dataset(each for each in recipes if not each.reproduced)
    hours = {
        each.name: f" ({each.hours_a_seed:g} h a seed)" for each in recipes if each.hours_a_seed
    }
    rows = [
        [*key, ", ".join(f"`{name}`{hours.get(name, '')}" for name in names)]
        for key, names in without.items()
    ]
    return markdown_table(["data set", "how to get it", "recipes without figures"], rows)


def standing(recipes: Iterable[Recipe]) -> str:
    """What a run could still add on this machine, and what it lacks for the rest."""
    recipes = list(recipes)
    ready, lacking = outstanding(recipes)
    stale = [each.name for each in ready if each.reproduced]
    never = [each for each in ready if not each.reproduced]
    unrun = [each.name for each in never if not each.hours_a_seed]
    long = {each.name: each.hours_a_seed for each in never if each.hours_a_seed}
    with_figures = sum(bool(each.reproduced) for each in recipes)
    lines = [f"{with_figures} of {len(recipes)} recipes have figures."]
    if stale:
        lines.append(f"Stale ({len(stale)}): {', '.join(stale)}")
    if unrun:
        lines.append(f"Not run, data not known to be missing ({len(unrun)}): {', '.join(unrun)}")
    if ready:
        lines.append("Both are run, cheapest first, by: python -m benchmarks run all --missing")
    if long:
        told = ", ".join(f"{name} {hours:g}" for name, hours in long.items())
        lines.append(f"Too long for this machine, hours a seed on one core ({len(long)}): {told}")
    for (dataset, source), names in by_dataset(
        each for each in recipes if each.name in lacking
    ).items():
        lines.append(f"No data here, {dataset} ({', '.join(names)}); to get it: {source}")
    return "\n".join(lines)
