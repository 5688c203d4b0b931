"""GraphSAGE by mini-batches beside full batch, as a table for docs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmarks.harness.recipe import Recipe
from benchmarks.report.markdown import gain_interval, markdown_table, measured, percent
from graphkit.guard import reading
from graphkit.json_values import number
from graphkit.text_files import read_json

__all__ = ["mini_batches"]

MEMORY = Path(__file__).parent.parent / "results" / "batch-memory.json"


def mini_batches(recipes: Iterable[Recipe], memory: Path = MEMORY) -> str:
    """Accuracy of both arms, their difference paired by seed, and the memory of a step.

    The interval is Student's, 95 %, of the differences.
    """
    megabytes = curves(memory) if memory.exists() else {}
    done = [r for r in recipes if r.protocol == "mini_batches" and r.reproduced]
    rows = [row(recipe, megabytes) for recipe in done]
    head = [
        "recipe",
        "full batch",
        "mini-batches",
        "difference, 95 %",
        "MB of a step by batch size",
    ]
    table = markdown_table([*head, "batch size"], rows)
    others = {name: curve for name, curve in megabytes.items() if "," in name}
    if rows and others:
        words = "; ".join(f"{name}, {told(curve)}" for name, curve in others.items())
        table += f"\n\nMB of a step of other models: {words}."
    return table


def curves(memory: Path) -> dict[str, dict[str, float]]:
    """Megabytes by case and batch size.

    Raises:
        DamagedDataError: If the file is not such as ``benchmarks.studies.batch_memory`` writes.
    """
    found = read_json(memory)
    advice = "measure it again: `python -m benchmarks.studies.batch_memory --record`"
    with reading(memory, advice=advice):
        return {
            case: {size: number(value, size) for size, value in curve.items()}
            for case, curve in found["megabytes"].items()
        }


def row(recipe: Recipe, megabytes: dict[str, dict[str, float]]) -> list[str]:
    """The cells of a recipe."""
    mean = recipe.reproduced["metrics"]["difference"]["mean"]
    # Arms share seed, split and start, so that their differences vary less than they do.
    low, high = gain_interval(recipe, "difference")
    curve = megabytes.get(recipe.sections["dataset"]["name"], {})
    return [
        f"`{recipe.name}`",
        percent(measured(recipe, "full_test_accuracy")),
        percent(measured(recipe, "batches_test_accuracy")),
        f"{100 * mean:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]",
        told(curve),
        f"{recipe.sections['batches']['batch_size']}; {recipe.reproduced['seeds']} seeds",
    ]


def told(curve: dict[str, float]) -> str:
    """Megabytes by batch size, in words."""
    return ", ".join(f"{name}: {value:.0f}" for name, value in curve.items()) or "–"
