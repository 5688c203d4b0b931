import itertools
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphkit.metrics import character_error_rate, lcs_pairs

WORDS = st.lists(st.integers(0, 3), max_size=8)


def edits(a, b):
    """Levenshtein's distance by its recursion."""
    if not a or not b:
        return len(a) + len(b)
    change = edits(a[1:], b[1:]) + (a[0] != b[0])
    return min(change, edits(a[1:], b) + 1, edits(a, b[1:]) + 1) if a[0] != b[0] else change


def longest(a, b):
    """Length of the longest common subsequence, by its table."""
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, left in enumerate(a):
        for j, right in enumerate(b):
            here = max(table[i][j + 1], table[i + 1][j])
            table[i + 1][j + 1] = table[i][j] + 1 if left == right else here
    return table[-1][-1]


@given(WORDS, WORDS)
def test_common_subsequences_are_longest_and_ascend(a, b):
    pairs = lcs_pairs(a, b)
    assert len(pairs) == longest(a, b)
    assert all(a[i] == b[j] for i, j in pairs)
    assert all(i < k and j < m for (i, j), (k, m) in itertools.pairwise(pairs))


def test_greedy_matching_would_not_be_optimal():
    """A longest block first, as in difflib, finds three pairs here, not five."""
    assert len(lcs_pairs("abcxyzabxc", "xyabc")) == 5 == longest("abcxyzabxc", "xyabc")


def test_disjoint_and_equal_strings():
    assert lcs_pairs("abc", "xyz") == lcs_pairs("", "") == lcs_pairs([], [1]) == []
    assert lcs_pairs("aba", "aba") == [(0, 0), (1, 1), (2, 2)]
    assert lcs_pairs(["a"], [97]) == []


@given(st.lists(st.tuples(WORDS.filter(lambda w: len(w) < 6), WORDS.filter(len)), min_size=1))
def test_error_rate_is_edits_over_true_characters(pairs):
    pairs = [(a[:5], b[:5]) for a, b in pairs[:3]]
    rate = character_error_rate([a for a, _ in pairs], [b for _, b in pairs])
    expected = sum(edits(a, b) for a, b in pairs) / sum(len(b) for _, b in pairs)
    assert rate == pytest.approx(expected)


def test_rates_at_the_ends():
    assert character_error_rate(["abc"], ["abc"]) == 0
    assert character_error_rate([[]], [[1, 2]]) == 1
    assert character_error_rate(["aaaa"], ["b"]) == 4
    # One rate over all characters, not the mean of rates.
    assert character_error_rate(["", "abc"], ["x", "abc"]) == 0.25


def test_what_cannot_be_compared_is_named():
    with pytest.raises(ValueError, match="1 'guesses' for 2 'truths'"):
        character_error_rate(["a"], ["a", "b"])
    with pytest.raises(ValueError, match="'truths' hold no character"):
        character_error_rate(["a"], [""])


def test_without_rapidfuzz_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "rapidfuzz", None)
    with pytest.raises(ImportError, match=r"graphkit\[speech\]"):
        character_error_rate(["a"], ["b"])
