"""Clips of the GRID corpus: who speaks, and what."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from graphkit.datasets.store.errors import MissingDataError
from graphkit.datasets.store.folders import search_path, visible
from graphkit.guard import DamagedDataError, reading
from graphkit.text_files import read_text

if TYPE_CHECKING:
    from graphkit.vision import Clip

__all__ = ["GRIDClip", "grid", "grid_alignment"]

WORDS = (
    {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    {"b": "blue", "g": "green", "r": "red", "w": "white"},
    {"a": "at", "b": "by", "i": "in", "w": "with"},
    {letter: letter for letter in "abcdefghijklmnopqrstuvxyz"},
    dict(
        zip(
            "z123456789",
            ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
            strict=True,
        )
    ),
    {"a": "again", "n": "now", "p": "please", "s": "soon"},
)
"""What each letter of a file's name stands for: a command, colour, preposition, letter, digit and
adverb."""
SECONDS, TICKS = 3.0, 25000
SHORTEST = 2.5


@dataclass(frozen=True)
class GRIDClip:
    """A clip of GRID.

    Args:
        path (Path): The file.
        words (tuple of str): The six words that are spoken.
    """

    path: Path
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        """The words as a sentence."""
        return " ".join(self.words)

    def read(self) -> Clip:
        """Frames and sound, by :func:`graphkit.vision.read_clip`.

        Raises:
            ImportError: If PyAV is missing.
            DamagedDataError: If it cannot be decoded, or is shorter than GRID's three seconds by
                more than half of one; the message names the file.
        """
        from graphkit.vision import read_clip

        with reading(self.path):
            clip = read_clip(self.path)
        seconds = len(clip.frames) / clip.fps if clip.fps else 0.0
        heard = len(clip.sound) / clip.rate
        if min(seconds, heard) < SHORTEST:
            raise DamagedDataError(
                f"'{self.path}' has {seconds:.1f} s of video and {heard:.1f} s of sound, not "
                f"{SECONDS:.0f} s; it is damaged"
            )
        return clip


def grid(root: str | os.PathLike[str] | None = None) -> list[GRIDClip]:
    r"""The clips of `"An audio-visual corpus for speech perception and automatic speech
    recognition" <https://doi.org/10.1121/1.2229005>`_ that there are, by name.

    Args:
        root (str or Path, optional): Folder of the data sets; clips lie anywhere in its folder
            ``GRID``. (default: ``GRAPHKIT_DATA``, else ``data`` in the cache folder)

    Raises:
        MissingDataError: If there is no clip; the message says where they belong.
        DamagedDataError: If a file's name says nothing of what is spoken.

    Example:
        .. code-block:: python

            from graphkit.datasets import grid

            clips = grid()
            clip = clips[0].read()
            clip.mouth().shape, clip.mel().shape, clips[0].text
    """
    folders = [folder / "GRID" for folder in search_path(root)]
    paths = [path for folder in folders for path in visible(folder.rglob("*.mpg"))]
    if not paths:
        raise MissingDataError(
            f"no clip '*.mpg' of GRID in {' or '.join(str(folder) for folder in folders)}; get "
            "them from https://spandh.dcs.shef.ac.uk/gridcorpus"
        )
    clips = [GRIDClip(path, spoken(path)) for path in paths]
    return sorted(clips, key=lambda clip: clip.path.name)


def spoken(path: Path) -> tuple[str, ...]:
    """The six words that a file's name stands for, such as ``bbaf2n`` or ``id2_vcd_swwp2s``."""
    code = path.stem.rpartition("_")[2].lower()
    if len(code) != len(WORDS) or any(c not in kind for c, kind in zip(code, WORDS, strict=False)):
        raise DamagedDataError(f"the name of '{path}' is no sentence of GRID, such as 'bbaf2n'")
    return tuple(kind[c] for c, kind in zip(code, WORDS, strict=True))


def grid_alignment(path: str | os.PathLike[str]) -> list[tuple[float, float, str]]:
    """Start and end in seconds of each word in a file ``*.align``, silence (``"sil"``) included.

    Args:
        path (str or Path): The file.

    Raises:
        DamagedDataError: If it is no list of starts, ends and words in order.
    """
    words = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            with reading(path, f"line {number}"):
                start, end, word = line.split()
                words.append((int(start) / TICKS, int(end) / TICKS, word))
    times = [time for start, end, _ in words for time in (start, end)]
    if not words or times != sorted(times):
        raise DamagedDataError(f"'{path}' holds no words in order of time")
    return words
