"""Hints for words that nobody knows, and for classes where something made of them is meant."""

# fingerprint: not counted

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

__all__ = ["did_you_mean", "refuse_class", "refuse_classes"]

NAMED, SHOWN = 3, 8


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.4) -> str:
    """The known words most similar to one that is not known, or, if none is, what there is.

    Case does not count.  Words that are equally similar come in the order they are given.

    Args:
        word (str): The unknown word.
        known (iterable of str): The known words.
        cutoff (float, optional): How similar a word must be to be named, from 0, any, to 1, the
            same but for its case. (default: :obj:`0.4`)

    Example:
        >>> from graphkit.words import did_you_mean
        >>> did_you_mean("coar", ["Cora", "CiteSeer", "PubMed"])
        "did you mean 'Cora'?"
        >>> did_you_mean("zzz", ["Cora", "CiteSeer"])
        "there are 'Cora' and 'CiteSeer'."
        >>> did_you_mean("zzz", [str(number) for number in range(100)])
        "there are 100, such as '0', '1', '2', '3', '4', '5', '6' and '7'."
        >>> did_you_mean("zzz", [])
        'there are none.'
    """
    words = [each for each in dict.fromkeys(known) if each]
    by_lower: dict[str, list[str]] = {}
    for each in words:
        by_lower.setdefault(each.lower(), []).append(each)
    matcher = difflib.SequenceMatcher(b=word.strip().lower())
    likeness: dict[str, float] = {}
    for each in by_lower:
        matcher.set_seq1(each)
        likeness[each] = matcher.ratio()
    # A stable sort: words that are equally similar keep their order.
    near = sorted(by_lower, key=lambda each: -likeness[each])[:NAMED]
    meant = [by_lower[each][0] for each in near if likeness[each] >= cutoff]
    if meant:
        return f"did you mean {listed(meant, 'or')}?"
    if not words:
        return "there are none."
    shown = listed(words[:SHOWN], "and")
    count = "" if len(words) <= SHOWN else f"{len(words)}, such as "
    return f"there are {count}{shown}."


def refuse_class(name: str, value: Any) -> None:
    """Raises if a class stands where an instance is meant: ``GCN`` for ``GCN(16, 32, 2)``.

    A class is a callable like a model or a loss, so without this the mistake would come to light
    far from where it was made, or not at all.

    Args:
        name (str): What the argument is called.
        value: The argument.

    Raises:
        TypeError: If it is a class; says what to write.

    Example:
        >>> from graphkit.words import refuse_class
        >>> refuse_class("criterion", dict)
        Traceback (most recent call last):
            ...
        TypeError: 'criterion' is the class dict; write dict(...)
    """
    if isinstance(value, type):
        raise TypeError(f"'{name}' is the class {value.__name__}; write {value.__name__}(...)")


def refuse_classes(**values: Any) -> None:
    """:func:`refuse_class` of several arguments, each by its name.

    Args:
        **values: The arguments.

    Raises:
        TypeError: At the first that is a class.
    """
    for name, value in values.items():
        refuse_class(name, value)


def listed(words: list[str], last: str) -> str:
    """Quoted words with commas, and ``last`` before the last."""
    quoted = [repr(each) for each in words]
    return f" {last} ".join([part for part in (", ".join(quoted[:-1]), quoted[-1]) if part])
