"""The hash of the code behind a result: what counts and what does not."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.harness import fingerprint, runner
from benchmarks.harness import recipe as recipes
from benchmarks.harness.fingerprint import bare, code_fingerprint, definition

USER = '''
from graphkit.tool import helper, unused

SIZE = 3

def run():
    """Runs."""
    return helper(SIZE)

def other():
    return unused()
'''
TOOL = """
BACKENDS = {"fast": "graphkit.fast"}

def helper(size):
    return BACKENDS, size

def unused():
    return 0
"""
FAST = "def kernel():\n    return 1\n"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkout of three modules and a package that passes names on."""
    folder = tmp_path / "graphkit"
    folder.mkdir()
    for name, text in {"user": USER, "tool": TOOL, "fast": FAST}.items():
        (folder / f"{name}.py").write_text(text)
    (folder / "__init__.py").write_text("from graphkit.user import run\n")
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)
    fingerprint.read.cache_clear()
    yield folder
    fingerprint.read.cache_clear()


def changed(folder: Path, name: str, old: str, new: str) -> bool:
    """Whether the hash of ``graphkit.run`` changes with a text in a file."""
    before = code_fingerprint([("graphkit", "run")])
    path = folder / f"{name}.py"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    fingerprint.read.cache_clear()
    return code_fingerprint([("graphkit", "run")]) != before


@pytest.mark.parametrize(
    ("name", "old", "new", "counts"),
    [
        ("user", "helper(SIZE)", "helper(SIZE + 1)", True),
        ("user", "SIZE = 3", "SIZE = 4", True),
        ("tool", "return BACKENDS, size", "return BACKENDS, size + 1", True),
        ("fast", "return 1", "return 2", True),
        ("tool", "return 0", "return 1", False),
        ("user", "return unused()", "return 2", False),
        ("user", '"""Runs."""', '"""Does."""', False),
        ("tool", "def helper(size):", "def helper(size: int) -> tuple:  # sizes", False),
    ],
)
def test_what_a_result_used_counts(tree: Path, name: str, old: str, new: str, counts: bool) -> None:
    assert changed(tree, name, old, new) == counts


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ('def f():\n    "a"\n    return 1', 'def f():\n    "b"\n    # c\n    return 1', True),
        ("def f():\n    return 1", "def f():\n    return 2", False),
        ("def f(x):\n    y = x", "def f(x: int) -> None:\n    y: int = x", True),
        ("def f():\n    raise ValueError('a')", "def f():\n    raise ValueError('b')", True),
        (
            "@method('a')\nclass A:\n    x = 1",
            "@method('b')\nclass A:\n    x = 1",
            True,
        ),
        (
            "@dataclass\nclass A:\n    x: int",
            "@dataclass(eq=False)\nclass A:\n    x: int",
            False,
        ),
    ],
)
def test_words_do_not_count_and_code_does(before: str, after: str, same: bool) -> None:
    one, two = (ast.dump(bare(ast.parse(text).body[0])) for text in (before, after))
    assert (one == two) == same


def test_names_are_followed_to_where_they_are_defined() -> None:
    assert definition("graphkit.train", "Trainer") == ("graphkit.train.trainer", "Trainer")
    assert definition("graphkit.datasets", "class_split")[0] == "graphkit.datasets.splits"
    assert definition("graphkit", "ops") == ("graphkit.ops", "")


def test_a_recipe_depends_on_the_strategy_and_the_model_it_names() -> None:
    found = {
        runner.code_of(recipes.load(f"{strategy}-{backbone}-digits"))
        for strategy in ("twp", "ewc")
        for backbone in ("gcn", "gat")
    }
    assert len(found) == 4
