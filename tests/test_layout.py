"""Every file stands in its room; a planted offence for each rule."""

from pathlib import Path

import pytest

from tests.meta import layout
from tests.meta.source import sources

ROOT = Path(__file__).parent.parent
RULES = (
    layout.file_circles,
    layout.loose_siblings,
    layout.shadowed_modules,
    layout.uncommented,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_tree_keeps_the_rule(rule):
    complaints = rule(sources(ROOT, "graphkit", "benchmarks"))
    assert not complaints, "\n".join(complaints)


def plant(root, files):
    for name, text in files.items():
        path = root / "graphkit" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return sources(root, "graphkit")


LONG = "def f(x):\n    '''Sums.'''\n" + "    x = x + 1\n" * 31
FOO = "graphkit.nn.foo_b"
NESTED = "def g():\n    def f(x):\n" + "        x = x + 1\n" * 31


@pytest.mark.parametrize(
    ("rule", "files"),
    [
        (layout.file_circles, {"a": "from graphkit.b import x", "b": "import graphkit.a"}),
        (
            layout.file_circles,
            {
                "nn/a": "from graphkit.nn import b",
                "nn/b": "def f():\n    from graphkit.nn.c import x\n",
                "nn/c": "from graphkit.nn.a import y",
            },
        ),
        (
            layout.file_circles,
            {"nn/__init__": "from graphkit.nn.a import x", "nn/a": "from graphkit.nn import x"},
        ),
        (layout.loose_siblings, {"nn/foo_a": "", "nn/foo_b": "", "nn/foo": ""}),
        (layout.shadowed_modules, {"nn/__init__": "from graphkit.nn.a import a", "nn/a": ""}),
        (layout.shadowed_modules, {"nn/__init__": "def a(): return 1", "nn/a/__init__": ""}),
        (layout.uncommented, {"nn/a": LONG}),
        (layout.uncommented, {"nn/a": NESTED}),
        (layout.uncommented, {"ops/cpu/kernels/a": "x = 1\n" * 5}),
    ],
)
def test_an_offence_is_seen(rule, files, tmp_path):
    assert rule(plant(tmp_path, files))


def test_what_is_right_passes(tmp_path):
    long = LONG.replace("x = x + 1\n", "x = x + 1  # one more, since ends count\n", 2)
    tree = {
        "nn/__init__": "from graphkit.nn.a import A",
        "nn/a": f"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import {FOO}\n",
        "nn/foo_a": long,
        "nn/foo_b": "from graphkit.nn import A",
        "ops/cpu/kernels/a": "# Blocks of eight fill a register.\n" + "x = 1\n" * 20,
    }
    files = plant(tmp_path, tree)
    for rule in RULES:
        assert rule(files) == []
