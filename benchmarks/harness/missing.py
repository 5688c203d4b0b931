"""Recipes whose figures are missing or stale, those that cost least first."""

# fingerprint: not counted

from __future__ import annotations

import statistics
from collections.abc import Iterable

from benchmarks.harness.recipe import Recipe
from benchmarks.harness.records import can_confirm
from benchmarks.harness.runner import code_of, fingerprint
from graphkit.datasets import MissingDataError
from graphkit.datasets.store.loading import locate

__all__ = [
    "expected_minutes",
    "has_fewer_seeds",
    "has_other_settings",
    "is_stale",
    "outstanding",
    "want_of_data",
]


def is_stale(recipe: Recipe) -> bool:
    """Whether the recipe's settings or its code changed since ``reproduced`` was written, or it
    asks for more seeds."""
    changed = recipe.reproduced["code"] != code_of(recipe) or has_other_settings(recipe)
    return changed or has_fewer_seeds(recipe)


def has_other_settings(recipe: Recipe) -> bool:
    """Whether the recipe's settings changed since ``reproduced`` was written."""
    return bool(recipe.reproduced["settings"] != fingerprint(recipe))


def has_fewer_seeds(recipe: Recipe) -> bool:
    """Whether ``reproduced`` is of fewer seeds than the recipe asks for."""
    return bool(recipe.reproduced.get("seeds", recipe.seeds) < recipe.seeds)


def want_of_data(recipe: Recipe) -> str:
    """Why a recipe's data set is not here; empty where it is, or where only a run can tell."""
    card = recipe.card
    try:
        if card is not None:
            locate(card, None, fetch=False)
    except MissingDataError as error:
        return str(error)
    return ""


def expected_minutes(recipe: Recipe, known: Iterable[Recipe]) -> float:
    """What a run may cost: as at its last one, else as the recipe says, else as the median of
    recipes of its protocol, on the same data set where there are such. Where the first seed may
    confirm what was recorded, it is taken to do so.

    Args:
        recipe (Recipe): The recipe.
        known (iterable of Recipe): Recipes, of which those that were run are looked at.
    """
    if not recipe.reproduced and recipe.hours_a_seed is not None:
        return recipe.seeds * recipe.hours_a_seed * 60
    kin = [each for each in known if each.reproduced and each.protocol == recipe.protocol]
    near = [each for each in kin if each.dataset == recipe.dataset]
    like = [recipe] if recipe.reproduced else near or kin
    per_seed = [each.reproduced["minutes"] / each.reproduced["seeds"] for each in like]
    alone = bool(recipe.reproduced) and not has_other_settings(recipe)
    seeds = 1 if alone and can_confirm(recipe.reproduced, recipe.seeds) else recipe.seeds
    return seeds * statistics.median(per_seed) if per_seed else float("inf")


def outstanding(recipes: list[Recipe]) -> tuple[list[Recipe], dict[str, str]]:
    """Recipes to run, cheapest first, and those without data with the reason.

    Args:
        recipes (list of Recipe): The recipes to look at, with what was ``reproduced``.
    """
    wanted = [each for each in recipes if not each.reproduced or is_stale(each)]
    without = {each.name: reason for each in wanted if (reason := want_of_data(each))}
    ready = [each for each in wanted if each.name not in without]
    cost = {each.name: expected_minutes(each, recipes) for each in ready}
    return sorted(ready, key=lambda each: (cost[each.name], each.name)), without
