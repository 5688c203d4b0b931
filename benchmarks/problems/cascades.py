"""Readers in stages: syllables, tones and characters of spoken digits."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from benchmarks.problems.sentences import Toned
from graphkit.vision import CascadeSeq2Seq, Padded

__all__ = ["CHAINS", "LONGEST", "NAMES", "SIZES", "taught", "texts"]

NAMES = ("syllable", "tone", "character")
SIZES = (10, 4, 40)
CHAINS: dict[str, list[tuple[str, ...]]] = {
    "cascade": [("input",), ("input", "syllable"), ("input", "syllable", "tone")],
    "no_tone": [("input",), (), ("input", "syllable")],
    "direct": [(), (), ("input",)],
    "heads": [("input",), ("input",), ("input",)],
}
"""Sources of syllables, tones and characters; a stage without any is left out."""
LONGEST = 8


def taught(feed: str) -> Any:
    """The loss of some sentences when stages are fed so."""

    def loss(model: CascadeSeq2Seq, x: Tensor, lengths: Tensor, *rows: Tensor) -> Tensor:
        return model.loss(Padded(x, lengths), dict(zip(NAMES, rows, strict=True)), feed)

    return loss


def texts(data: Toned) -> dict[str, Tensor]:
    """The symbols of each stage."""
    return dict(zip(NAMES, data[:3], strict=True))
