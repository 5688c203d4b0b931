"""A bound that changes is noticed: the error still states the one before."""

from pathlib import Path

import pytest

from tests.meta.bounds import claims_of, stated_bounds, wrong_bounds
from tests.meta.source import sources

ROOT = Path(__file__).parent.parent
OTHERWISE = {
    ("compress/evolutionary_pruning.py", "< 0"): "not below 0",
    ("compress/packed_layer.py", "< 256, >= 0"): "256 codes are below 256",
    ("datasets/media/reid.py", "<= 4096, >= 1"): "whole numbers above 0",
    ("distill/amalgamation/customised_student.py", ">= 2"): "and all of one size",
    ("distill/amalgamation/customised_student.py", "< 0"): "what is wrong, not what is allowed",
    ("distill/amalgamation/group_stack.py", ">= 1, >= 2"): "none at all is asked by 'not'",
    ("distill/losses/multi_kernel.py", "> 0, >= 1"): "none at all is asked by 'not'",
    ("vision/actions/moment_context.py", ">= 0"): "a length of 1 at least lies in it",
    ("vision/lips/clips.py", "< 1, >= 0"): "two frames or more",
    ("vision/patch_reordering.py", ">= 1"): "'levels' 0",
    ("vision/udor.py", ">= 1"): "a multiple of 4",
}
"""Errors that say it in other words, with what is read there."""
CODE = """
def check(k, share, sizes, x):
    if k is not None and k < 1:
        raise ValueError(f"'k' must be at least 1, got {k}")
    if not 0 < share <= 1 or len(sizes) < 2:
        raise ValueError("'share' must be in (0, 1] and there be at least two 'sizes'")
    if any(size < 0 for size in sizes) or not (x > 0.5).all():
        raise ValueError("'sizes' must not be negative, and 'x' above 0.5")
    if not 1 <= k < len(x):
        raise ValueError(f"'k' must be between 1 and {len(x) - 1}, got {k}")
    if min(sizes) < 1:
        raise ValueError("'sizes' must be positive")
"""
FAULTS = (
    ("k < 1:", "k <= 1:"),
    ("k < 1:", "k > 1:"),
    ("k < 1:", "k < 2:"),
    ("0 < share", "0 <= share"),
    ("share <= 1", "share < 1"),
    ("not 0 < share <= 1", "0 < share <= 1"),
    ("<= 1 or len", "<= 1 and len"),
    ("len(sizes) < 2", "len(sizes) < 3"),
    ("size < 0", "size <= 0"),
    ("any(size", "all(size"),
    ("x > 0.5).all", "x > 0.5).any"),
    ("x > 0.5", "x >= 0.5"),
    ("not (x >", "(x >"),
    ("not 1 <= k", "not 1 < k"),
    ("not 1 <= k", "1 <= k"),
    ("if min(sizes) < 1", "if not (min(sizes) < 1)"),
    ("min(sizes) < 1", "min(sizes) < 2"),
)


def test_errors_state_the_bounds_that_there_are() -> None:
    found = {
        (
            fault.partition(":")[0].removeprefix("graphkit/"),
            fault.partition("error says ")[2],
        ): fault
        for fault in wrong_bounds(ROOT)
    }
    assert {place: fault for place, fault in found.items() if place not in OTHERWISE} == {}
    assert [place for place in OTHERWISE if place not in found] == []


def planted(folder: Path, text: str) -> list[str]:
    (folder / "graphkit").mkdir()
    (folder / "graphkit" / "foo.py").write_text(text)
    return wrong_bounds(folder)


@pytest.mark.parametrize(("old", "new"), FAULTS)
def test_another_bound_is_named(tmp_path: Path, old: str, new: str) -> None:
    assert old in CODE
    (fault,) = planted(tmp_path, CODE.replace(old, new))
    assert fault.startswith("graphkit/foo.py:")


def test_the_same_bounds_pass(tmp_path: Path) -> None:
    assert planted(tmp_path, CODE) == []


@pytest.mark.parametrize(
    ("words", "claims"),
    [
        ("must be at least 2, got 1", {(">=", 2)}),
        ("must be in [0, 1), got ", {(">=", 0), ("<", 1)}),
        ("must be above 0 and at most 1", {(">", 0), ("<=", 1)}),
        ("must be at least 0 and below 1", {(">=", 0), ("<", 1)}),
        ("needs at least three rows", {(">=", 3)}),
        ("must lie between 0 and 1, got", {(">=", 0), ("<=", 1)}),
        ("must not be negative", {(">=", 0)}),
        ("must be in [-1, ", {(">=", -1)}),
        ("must be in 1 … , got", {(">=", 1)}),
        ("has no edges", set()),
    ],
)
def test_words_are_read(words: str, claims: set) -> None:
    assert claims_of(words) == claims


def test_most_of_the_bounds_are_read() -> None:
    assert sum(1 for file in sources(ROOT, "graphkit") for _ in stated_bounds(file)) > 220
