"""Hints name what was probably meant."""

from __future__ import annotations

import pytest

from graphkit.words import did_you_mean, refuse_classes

SETS = ["Cora", "CiteSeer", "PubMed", "PROTEINS"]


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("coar", SETS, "did you mean 'Cora'?"),
        (" CORA ", SETS, "did you mean 'Cora'?"),
        ("protein", SETS, "did you mean 'PROTEINS'?"),
        ("ab", ["abc", "abd", "xyz"], "did you mean 'abc' or 'abd'?"),
        ("abcd", ["abce", "abcf", "abcg", "abch"], "did you mean 'abce', 'abcf' or 'abcg'?"),
        ("zzz", ["one"], "there are 'one'."),
        ("zzz", ["one", "two", "two", ""], "there are 'one' and 'two'."),
        ("zzz", [], "there are none."),
        ("", ["one", "two"], "there are 'one' and 'two'."),
    ],
)
def test_hints(word: str, known: list[str], hint: str) -> None:
    assert did_you_mean(word, known) == hint


def test_of_many_words_some_are_named() -> None:
    hint = did_you_mean("zzz", (f"name{number}" for number in range(50)))
    assert hint.startswith("there are 50, such as 'name0', 'name1'")
    assert hint.endswith("and 'name7'.")


def test_the_most_similar_come_first() -> None:
    assert did_you_mean("GCM", ["GCNII", "GAT", "GCN"]).startswith("did you mean 'GCN'")


def test_a_higher_cutoff_names_less() -> None:
    assert "did you mean" in did_you_mean("shop", ["sheep"], cutoff=0.4)
    assert "did you mean" not in did_you_mean("shop", ["sheep"], cutoff=0.9)


def test_a_word_just_similar_enough_is_named() -> None:
    assert did_you_mean("ab", ["ac"], cutoff=0.5) == "did you mean 'ac'?"
    assert did_you_mean("ab", ["ac"], cutoff=0.51) == "there are 'ac'."


def test_as_many_words_as_are_shown_are_all_named() -> None:
    words = [f"name{number}" for number in range(8)]
    listed = ", ".join(map(repr, words[:7]))
    assert did_you_mean("zzz", words) == f"there are {listed} and 'name7'."
    assert did_you_mean("zzz", [*words, "x"]) == f"there are 9, such as {listed} and 'name7'."


def test_words_of_one_spelling_are_named_by_the_first() -> None:
    assert did_you_mean("core", ["CORA", "Cora", "cora"]) == "did you mean 'CORA'?"


def test_classes_are_refused_by_name() -> None:
    refuse_classes(first=3, second={})
    with pytest.raises(TypeError, match=r"'second' is the class dict; write dict\(\.\.\.\)"):
        refuse_classes(first=3, second=dict)
