"""Which tests run: those whose extras are installed, and a sample of them on request."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from zlib import crc32

import pytest

EXTRAS = {"scatter": "torch_scatter", "vision": "torchvision"}
"""Marks of tests that need an extra of the same name, and the package that it brings."""


def skip_without_extras(items: list[pytest.Item]) -> None:
    """Skips tests whose extra is not installed, and says which one it is.

    A layer's suite runs on torch-scatter where it is installed, so that its check of backends
    belongs to the tests of that extra then.
    """
    for mark, package in EXTRAS.items():
        missing = find_spec(package) is None
        skip = pytest.mark.skip(reason=f"the extra '{mark}' is not installed")
        for item in items:
            if missing and item.get_closest_marker(mark):
                item.add_marker(skip)
            if mark == "scatter" and not missing and item.name == "test_every_backend":
                item.add_marker(mark)


def sampled(items: list[pytest.Item], every: int) -> list[pytest.Item]:
    """Every ``every``-th test of each file, at least one, the same on every day.

    Files begin at different tests, so that a suite which many files inherit runs as a whole.
    """
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    sample = []
    for tests in files.values():
        place = crc32(tests[0].nodeid.partition("::")[0].encode())
        sample += tests[place % min(every, len(tests)) :: every]
    return sample
