"""A data folder and a cache folder of each test's own, and no network."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def cache(monkeypatch, tmp_path) -> Path:
    """An empty cache folder."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("GRAPHKIT_CACHE", str(folder))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    return folder


@pytest.fixture
def root(monkeypatch, tmp_path, cache) -> Path:
    """An empty data folder that GRAPHKIT_DATA names."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("GRAPHKIT_DATA", str(folder))
    return folder
