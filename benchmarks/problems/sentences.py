"""Sentences of handwritten digits: shown, sounded and toned."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.problems.canvas import digits
from graphkit.vision import Padded, pad_symbols

__all__ = ["Spoken", "Toned", "lexicon", "spoken_digits", "tonal_digits"]

SHORTEST, LONGEST = 3, 6
HELD = 4
"""One in so many digits to train on is held back, for sentences to choose settings by."""
TONES = torch.tensor([[0, 1, 2], [2, 1, 0], [0, 2, 0], [0, 0, 0]])
"""How far down a digit is in each of its three frames: it falls, rises, dips, stays."""


class Spoken(NamedTuple):
    """Sentences with two sources.

    Args:
        target (torch.Tensor): Digits :math:`(B, N)`, -1 behind the end.
        sound (Padded): Three clear frames per digit :math:`(B, 3 N, 64)`.
        video (Padded): Two frames per digit, blurred and noisy :math:`(B, 2 N, 16)`.
    """

    target: Tensor
    sound: Padded
    video: Padded


class Toned(NamedTuple):
    """Sentences of a language with tones.

    Args:
        digit (torch.Tensor): The syllables :math:`(B, N)`, -1 behind the end.
        tone (torch.Tensor): Their tones :math:`(B, N)`.
        character (torch.Tensor): One character for each syllable and tone :math:`(B, N)`.
        video (Padded): Three frames per syllable :math:`(B, 3 N, 64)`.
    """

    digit: Tensor
    tone: Tensor
    character: Tensor
    video: Padded


def glyphs(part: str) -> tuple[Tensor, Tensor]:
    """Digits in [-1, 1] and their classes, ``"train"``, ``"val"`` or ``"test"``; no two parts
    share an image.
    """
    x, y = digits("test" if part == "test" else "train")
    held = torch.arange(len(y)) % HELD == 0
    rows = {"train": ~held, "val": held, "test": torch.ones_like(held)}[part]
    return x[rows, 0] - 1, y[rows]


def draw(count: int, generator: torch.Generator) -> tuple[list[int], Tensor]:
    """How long sentences are, and the digits of all of them, one after the other."""
    lengths = torch.randint(SHORTEST, LONGEST + 1, (count,), generator=generator)
    return lengths.tolist(), torch.randint(10, (int(lengths.sum()),), generator=generator)


def pick(y: Tensor, word: Tensor, frames: int, generator: torch.Generator) -> Tensor:
    """Numbers of images that show each digit of a text ``[M, frames]``."""
    order = y.argsort(stable=True)
    size = y.bincount(minlength=10)
    first = size.cumsum(0) - size
    share = torch.rand(len(word), frames, generator=generator)
    return order[first[word, None] + (share * size[word, None]).long()]


def spoken_digits(part: str, count: int, seed: int, noise: float = 0.18) -> Spoken:
    """Sentences of three to six digits; video shows two of the three images that are heard."""
    x, y = glyphs(part)
    generator = torch.Generator().manual_seed(seed)
    lengths, word = draw(count, generator)
    shown = pick(y, word, 3, generator)
    seen = F.avg_pool2d(x[shown[:, :2]], 2)
    seen = seen + noise * torch.randn(seen.shape, generator=generator)
    rows = word.split(lengths)
    return Spoken(
        pad_symbols([row.tolist() for row in rows]),
        Padded.of([part.flatten(0, 1).flatten(1) for part in x[shown].split(lengths)]),
        Padded.of([part.flatten(0, 1).flatten(1) for part in seen.split(lengths)]),
    )


def language() -> tuple[Tensor, Tensor]:
    """Which tone follows which ``[4, 4]``, and the character of each syllable and tone ``[40]``."""
    generator = torch.Generator().manual_seed(0)
    grammar = torch.softmax(1.5 * torch.randn(4, 4, generator=generator), 1)
    return grammar, torch.randperm(40, generator=generator)


def lexicon() -> Tensor:
    """Syllable, tone and character of every word of the language of tones ``[40, 3]``."""
    number = torch.arange(40)
    return torch.stack([number // 4, number % 4, language()[1]], 1)


def tonal_digits(part: str, count: int, seed: int, noise: float = 0.25) -> Toned:
    """Sentences of three to six syllables: a digit is the syllable, its movement the tone.

    Tones follow a grammar, a Markov chain that is the same in all parts; so is which of the forty
    characters stands for a syllable with a tone.
    """
    x, y = glyphs(part)
    grammar, spelling = language()
    generator = torch.Generator().manual_seed(seed)
    lengths, word = draw(count, generator)
    tone = torch.randint(4, (len(word),), generator=generator)
    starts = {0, *torch.tensor(lengths).cumsum(0).tolist()}
    for place in range(len(word)):
        if place not in starts:
            after = grammar[tone[place - 1]]
            tone[place] = torch.multinomial(after, 1, generator=generator)[0]
    glyph = x[pick(y, word, 1, generator)[:, 0]]
    # Every glyph at every height; a tone says which height each of its frames has.
    high = torch.stack([F.pad(glyph, (0, 0, down, 0), value=-1.0)[:, :8] for down in range(3)], 1)
    frames = high[torch.arange(len(word)).unsqueeze(1), TONES[tone]]
    frames = frames + noise * torch.randn(frames.shape, generator=generator)
    digit, tones, character = (
        pad_symbols([row.tolist() for row in text.split(lengths)])
        for text in (word, tone, spelling[4 * word + tone])
    )
    video = [part.flatten(0, 1).flatten(1) for part in frames.split(lengths)]
    return Toned(digit, tones, character, Padded.of(video))
