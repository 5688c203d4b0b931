from pathlib import Path

import pytest

from graphkit.datasets import UnknownDatasetError, cache_root, data_root, dataset_cards, find_card


def test_every_loader_exists_and_every_card_is_complete():
    names = [card.name.lower() for card in dataset_cards()]
    assert len(set(names)) == len(names)
    for card in dataset_cards():
        assert isinstance(card.resolve(), type)
        assert card.about
        assert card.terms
        assert card.embedded or (card.folder and card.source.count("http") >= 1)
        assert set(card.build_options) <= set(card.options)


def test_cards_are_found_regardless_of_case():
    assert find_card("OGBN-Arxiv").name == "ogbn-arxiv"
    with pytest.raises(UnknownDatasetError, match="did you mean 'PROTEINS'"):
        find_card("PROTEIN")
    with pytest.raises(UnknownDatasetError, match="'digits', 'KarateClub', 'Cora'"):
        find_card("?")


def test_folders_follow_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("GRAPHKIT_DATA", str(tmp_path / "d"))
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "c"))
    assert (data_root(), cache_root()) == (tmp_path / "d", tmp_path / "c")
    monkeypatch.delenv("GRAPHKIT_DATA")
    assert data_root() == tmp_path / "c" / "data"
    monkeypatch.delenv("GRAPHKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache_root() == tmp_path / "x" / "graphkit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_root() == Path.home() / ".cache" / "graphkit"
