"""DGL is a rival where it can be loaded, and no reason to fail where it cannot."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks.speed.dgl_here import GRAPHBOLT, load_dgl
from benchmarks.speed.sizes import rivals

BOLT = "raise ImportError('made for another PyTorch')\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for a ``dgl`` that shadows any other, and is forgotten afterwards."""
    for name in [name for name in sys.modules if name.split(".")[0] == "dgl"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "dgl").mkdir()
    yield tmp_path / "dgl"
    for name in [name for name in sys.modules if name.split(".")[0] == "dgl"]:
        del sys.modules[name]


def test_its_loaders_are_not_needed(package: Path) -> None:
    (package / "__init__.py").write_text("from . import graphbolt as gb\nloader = gb.Loader\n")
    (package / "graphbolt.py").write_text(BOLT)
    dgl = load_dgl()
    assert dgl is not None
    assert dgl.loader is dgl.gb.Loader
    assert load_dgl() is dgl


@pytest.mark.parametrize("error", ["ImportError('no torchdata')", "OSError('no library')"])
def test_one_that_cannot_be_loaded_is_none(package: Path, error: str) -> None:
    (package / "__init__.py").write_text(f"raise {error}\n")
    assert load_dgl() is None
    assert GRAPHBOLT not in sys.modules
    assert list(rivals(8, torch.zeros(2, 3, dtype=torch.long), 2)) == ["PyG"]
