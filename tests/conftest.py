"""Fixtures every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)


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
