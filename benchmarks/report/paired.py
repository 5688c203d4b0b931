"""Tables of differences within a seed: what edges and longer paths add."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.harness.recipe import Recipe
from benchmarks.problems.adapter_graphs import SOURCES, WITHOUT
from benchmarks.report.markdown import gain_interval, markdown_table, measured, percent

__all__ = ["adapter_edges", "fair_graphs", "interval", "path_choice"]


def interval(recipe: Recipe, name: str, overlap: float = 0.0) -> str:
    """The mean of a recorded difference and its 95 % interval, in points; see
    :func:`~benchmarks.report.markdown.gain_interval`."""
    mean = f"{100 * recipe.reproduced['metrics'][name]['mean']:+.1f}"
    if recipe.reproduced["seeds"] == 1:
        return mean
    low, high = gain_interval(recipe, name, overlap)
    return f"{mean} ({100 * low:+.1f} … {100 * high:+.1f})"


def adapter_edges(recipes: Iterable[Recipe]) -> str:
    """One row per adapter: a network without edges, with them, and with shuffled ones.

    Best first; adapters without a question last, with the reason.
    """
    done = [each for each in recipes if each.protocol == "adapter_edges" and each.reproduced]
    done.sort(key=lambda recipe: -recipe.reproduced["metrics"]["gain"]["mean"])
    rows = []
    for recipe in done:
        adapter = recipe.sections["adapter"]["name"]
        asked = " ".join((SOURCES[adapter].__doc__ or "").split("\n\n")[0].split())
        cells = [percent(measured(recipe, arm)) for arm in ("alone", "graph")]
        gains = [interval(recipe, name) for name in ("gain", "gain_shuffled")]
        seeds = str(recipe.reproduced["seeds"])
        rows.append([f"`{adapter}`", asked.rstrip("."), *cells, *gains, seeds])
    missing = sorted(set(SOURCES) - {each.sections["adapter"]["name"] for each in done})
    rows += [[f"`{name}`", "not run", *["–"] * 5] for name in missing if rows]
    rows += [[f"`{name}`", f"nothing: {why}", *["–"] * 5] for name, why in WITHOUT.items() if rows]
    head = ["adapter", "of what, and what is asked", "nodes alone", "graph"]
    head += ["gain of edges", "over shuffled edges", "seeds"]
    return markdown_table(head, rows)


def fair_graphs(recipes: Iterable[Recipe]) -> str:
    """Graph classification, all choices inside the training folds: each network by data set."""
    rows, convs = [], ["gin", "gcn", "graphsage", "gat"]
    for recipe in recipes:
        if recipe.protocol != "fair_graphs" or not recipe.reproduced:
            continue
        folds = recipe.reproduced["seeds"]
        bare = percent(measured(recipe, "features_accuracy"))
        theirs = recipe.reported.get("features_accuracy", {})
        cells = [
            f"{percent(measured(recipe, f'{conv}_accuracy'))}; "
            f"{interval(recipe, f'gain_{conv}', 1 / 9)}"
            for conv in convs
        ]
        rows.append([recipe.dataset, str(folds), percent(theirs), bare, *cells])
    head = ["data", "folds", "published, no edges", "no edges"]
    return markdown_table([*head, "GIN", "GCN", "GraphSAGE", "GAT"], rows)


def path_choice(recipes: Iterable[Recipe]) -> str:
    """SPAGAN's candidates beside the network that gave them their paths, by data set."""
    done = [each for each in recipes if each.protocol == "path_choice" and each.reproduced]
    names = list(dict.fromkeys(name for each in done for name in each.sections["candidates"]))
    rows = []
    for recipe in done:
        tried = recipe.sections["candidates"]
        gains = [interval(recipe, f"gain_{name}") if name in tried else "–" for name in names]
        edges_chosen = f"{100 * recipe.reproduced['metrics']['kept_edges']['mean']:.0f} %"
        chosen_gains = [interval(recipe, name) for name in ("gain", "free_gain")]
        edges = percent(measured(recipe, "gat_test_accuracy"))
        seeds = str(recipe.reproduced["seeds"])
        rows.append([recipe.dataset, seeds, edges, *gains, *chosen_gains, edges_chosen])
    words = [name.replace("_", " ") for name in names]
    head = ["data", "seeds", "edges alone", *words, "chosen", "chosen, or edges", "edges chosen"]
    return markdown_table(head, rows)
