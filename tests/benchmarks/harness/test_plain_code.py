"""What counts as another file, and what counts for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.harness.environment import ROOT
from benchmarks.harness.fingerprint import Checkout
from graphkit.ops.backends import BACKENDS
from tests.benchmarks.harness.test_fingerprint import FILES, code


def test_what_stands_for_a_plain_module_counts_as_that(tmp_path: Path) -> None:
    """Alone or by its folder; the plain module counts, with what it uses."""
    plain = "from graphkit.ops.slow import once\n\ndef kernel():\n    return once()\n"
    line = "# fingerprint: as graphkit.plain\n"
    alone = FILES | {"plain": plain, "ops/fast": line + FILES["ops/fast"]}
    faster = alone | {"ops/fast": line + "def helper():\n    return 5\n\nkernel = helper\n"}
    other = alone | {"plain": plain.replace("once()", "2 * once()")}
    deeper = alone | {"ops/slow": FILES["ops/slow"].replace("10", "11")}
    before = code(tmp_path / "a", alone)
    assert code(tmp_path / "b", faster) == before
    assert len({before, code(tmp_path / "c", other), code(tmp_path / "d", deeper)}) == 3
    room = {"ops/quick/__init__": line, "ops/quick/fast": FILES["ops/fast"]}
    moved = {"ops/backends": FILES["ops/backends"].replace("ops.fast", "ops.quick.fast")}
    foldered = FILES | {"plain": plain} | room | moved
    changed = foldered | {"ops/quick/fast": "def kernel():\n    return 7\n"}
    assert code(tmp_path / "e", foldered) == code(tmp_path / "f", changed)


def test_only_what_is_held_to_the_reference_stands_for_it() -> None:
    """All backends but the reference, and what leads to them; no op's own meaning."""
    checkout = Checkout(ROOT)
    places = {name: module for name, (module, _) in BACKENDS.items()}
    kinds = {
        name: source.stands_for
        for name, module in places.items()
        if (source := checkout.source(module)) is not None
    }
    others = dict.fromkeys(set(places) - {"reference"}, places["reference"])
    assert kinds == {"reference": ""} | others
    for module in ("weighted_sum", "softmax", "dropout", "attention", "paths.shortest_paths"):
        source = checkout.source(f"graphkit.ops.{module}")
        assert source is not None
        assert (source.counted, source.stands_for) == (True, ""), module


HALF = {
    "ops/dtypes": "def is_half(value):\n    return value.bits == 16\n",
    "net": """
from graphkit.ops.dtypes import is_half

def mean(x, size):
    if size > 0:
        total = sum(x)
    return total / size
""",
}
MEAN = "def mean(x, size):\n"


@pytest.mark.parametrize(
    ("line", "same"),
    [
        ("    if is_half(x):\n        total = x.wide()\n", True),
        ("    if size and is_half(x):\n        return mean(x.wide(), size)\n", True),
        ("    if size or is_half(x):\n        return mean(x.wide(), size)\n", False),
        ("    if is_half(x):\n        size += 1\n    else:\n        size += 2\n", False),
    ],
)
def test_what_half_precision_alone_does_ages_nothing(tmp_path: Path, line: str, same: bool) -> None:
    roots, changed = [("graphkit.net", "mean")], HALF["net"].replace(MEAN, MEAN + line)
    before = code(tmp_path / "a", HALF, roots)
    assert (before == code(tmp_path / "b", HALF | {"net": changed}, roots)) == same
