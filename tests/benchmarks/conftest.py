"""A data folder of each test's own, and no network."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that GRAPHKIT_DATA names; it is not there yet."""
    monkeypatch.setenv("GRAPHKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    return tmp_path / "data"
