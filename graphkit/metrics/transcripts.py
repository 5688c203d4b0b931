"""How far transcripts are from the truth, and what they share, by rapidfuzz."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from types import ModuleType

__all__ = ["character_error_rate", "lcs_pairs"]


def character_error_rate(
    guesses: Sequence[Sequence[Hashable]], truths: Sequence[Sequence[Hashable]]
) -> float:
    r"""Edits that turn guesses into truths, as a share of the true characters.

    .. math::
        \mathrm{CER} = \frac{\sum_i \mathrm{Levenshtein}(\hat y_i, y_i)}{\sum_i |y_i|}

    0 is right; above 1 are guesses longer than the truth. Time grows with the product of two
    lengths over 64, summed over pairs.

    Args:
        guesses (sequence of sequences): Strings, or lists of symbols.
        truths (sequence of sequences): As many.

    Raises:
        ImportError: If rapidfuzz is missing.
        ValueError: If there are not as many guesses as truths, or no true character.

    Example:
        >>> character_error_rate(["lay blue", [1, 2]], ["say blue", [1, 2]])
        0.1
    """
    if len(guesses) != len(truths):
        raise ValueError(f"there are {len(guesses)} 'guesses' for {len(truths)} 'truths'")
    total = sum(len(truth) for truth in truths)
    if not total:
        raise ValueError("'truths' hold no character, so there is no rate of errors")
    levenshtein = distances().Levenshtein
    pairs = zip(guesses, truths, strict=True)
    return sum(levenshtein.distance(*numbered(*pair)) for pair in pairs) / total


def lcs_pairs(a: Sequence[Hashable], b: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Positions of a longest common subsequence: ascending in both, equal symbols at each pair.

    Time and memory grow with the product of the lengths over 64.

    Args:
        a (sequence): A string, or a list of symbols.
        b (sequence): Another.

    Raises:
        ImportError: If rapidfuzz is missing.

    Example:
        >>> lcs_pairs("white", "why it is")
        [(0, 0), (1, 1), (2, 4), (3, 5)]
    """
    blocks = distances().LCSseq.opcodes(*numbered(a, b)).as_matching_blocks()
    return [(block.a + step, block.b + step) for block in blocks for step in range(block.size)]


def numbered(*sequences: Sequence[Hashable]) -> list[list[int]]:
    """Sequences with numbers for symbols: rapidfuzz takes a character for its code point."""
    codes: dict[Hashable, int] = {}
    return [[codes.setdefault(symbol, len(codes)) for symbol in row] for row in sequences]


def distances() -> ModuleType:
    """rapidfuzz's distances."""
    try:
        from rapidfuzz import distance
    except ImportError as error:
        raise ImportError(
            'comparing transcripts needs rapidfuzz: pip install "graphkit[speech]"'
        ) from error
    return distance
