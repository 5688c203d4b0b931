"""Scenes of digits by category, to take apart."""

from __future__ import annotations

from typing import Any

from benchmarks.problems.images import handwritten, scenes

__all__ = ["load"]


def load(
    name: str = "digits",
    classes: tuple[int, ...] = (0, 1, 7),
    train: int = 4096,
    test: int = 512,
    seed: int = 0,
) -> dict[str, Any]:
    """Scenes for training and testing, drawn with a seed."""
    x, y = handwritten(name, "train")
    other, label = handwritten(name, "test")
    return {
        "train": scenes(x, y, tuple(classes), train, 2 * seed),
        "test": scenes(other, label, tuple(classes), test, 2 * seed + 1),
        "extent": x.size(2),
        "kinds": len(classes),
    }
