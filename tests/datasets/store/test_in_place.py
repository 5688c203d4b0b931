"""PyG's own classes as loaders of cards."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from torch_geometric.datasets import TUDataset

from graphkit.datasets import load
from graphkit.datasets.store.in_place import in_place
from tests.datasets.files import TINY, write_tu


def test_a_card_may_name_any_loader_of_pyg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyG's own class takes no raw folder; it is read in place all the same, and never written."""
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "data"
    write_tu(root)
    before = sorted(path for path in root.rglob("*"))
    card = dataclasses.replace(TINY, loader="torch_geometric.datasets:TUDataset")
    dataset = load(card, root)
    assert isinstance(dataset, TUDataset)
    assert [data.num_nodes for data in dataset] == [3, 2, 2]
    assert sorted(path for path in root.rglob("*")) == before
    assert [data.y.item() for data in load(card, root)] == [data.y.item() for data in dataset]
    with pytest.raises(TypeError, match="Planet is no InMemoryDataset"):
        in_place(type("Planet", (), {}))
