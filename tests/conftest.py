"""Fixtures every test may use."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import torch

from tests.meta.selection import sampled, skip_without_extras

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


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Iterator[None]:
    """Marks come before ``-m`` reads them; the sample is one of what ``-m`` and ``-k`` leave."""
    skip_without_extras(items)
    yield
    sample = {id(item) for item in sampled(items, config.getoption("sample"))}
    config.hook.pytest_deselected(items=[item for item in items if id(item) not in sample])
    items[:] = [item for item in items if id(item) in sample]


def pytest_collection_finish() -> None:
    """What is there before the first test stays: no collection of garbage looks through it again.

    PyTorch, PyG and seven thousand tests are millions of objects; a collection takes seconds.
    """
    gc.collect()
    gc.freeze()


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
