"""What the tests of tracking share."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from graphkit.vision.tracking import program


@pytest.fixture
def counting_clock(monkeypatch) -> None:
    """Each reading of the solver's clock is 3 seconds after the one before it."""
    clock = SimpleNamespace(perf_counter=itertools.count(100, 3).__next__)
    monkeypatch.setattr(program, "time", clock)
