"""Fixtures every test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import hypothesis
import pytest
import torch

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)

# A deadline is a timed assertion: a busy machine would fail it.
hypothesis.settings.register_profile("graphkit", deadline=None)
hypothesis.settings.load_profile("graphkit")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--sample",
        type=int,
        default=1,
        metavar="N",
        help="run every Nth test of each file, and at least one of them",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keeps a sample, the same in every process and on every day.

    Files begin at different tests, so that suites which many files inherit run as a whole.
    """
    every = config.getoption("sample")
    if every == 1:
        return
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    sample = {id(item) for tests in files.values() for item in sampled(tests, every)}
    config.hook.pytest_deselected(items=[item for item in items if id(item) not in sample])
    items[:] = [item for item in items if id(item) in sample]


def sampled(tests: list[pytest.Item], every: int) -> Iterator[pytest.Item]:
    """Every ``every``-th test of a file, from one that depends on the file's name."""
    first = crc32(tests[0].nodeid.partition("::")[0].encode()) % min(every, len(tests))
    yield from tests[first::every]


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Fixed seeds; ``UNLOCK_SEED=1`` frees them to hunt for lucky passes."""
    if not os.environ.get("UNLOCK_SEED"):
        torch.manual_seed(0)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data sets; CI sets ``GRAPHKIT_REQUIRE_DATA=1`` so that it must exist."""
    root = os.environ.get("GRAPHKIT_DATA")
    if root and Path(root).is_dir():
        return Path(root)
    message = f"GRAPHKIT_DATA={root!r} is not a folder; set it to the data sets' folder"
    if os.environ.get("GRAPHKIT_REQUIRE_DATA"):
        pytest.fail(message)
    pytest.skip(message)
