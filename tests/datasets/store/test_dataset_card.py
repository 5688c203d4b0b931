"""A card by itself."""

import pytest

from graphkit.datasets import DatasetCard

CARD = DatasetCard(
    "tiny",
    "a set",
    "collections:OrderedDict",
    folder="Tiny",
    files=("a.txt", "raw/b.txt"),
    options={"split": ("train", "test"), "seed": ()},
)


def test_what_is_not_said():
    card = DatasetCard("tiny", "a set", "collections:OrderedDict")
    assert (card.folder, card.files, card.raw, card.build_options) == ("", (), "raw", ())
    assert (card.arguments, card.options, card.counts) == ({}, {}, {})
    assert (card.checked, card.probe) == (True, None)
    assert card.terms == "none stated"
    assert card.embedded
    assert not CARD.embedded


def test_the_loader_is_found():
    from collections import OrderedDict

    assert CARD.resolve() is OrderedDict


def test_options_are_checked():
    CARD.check_options({"split": "test", "seed": 3})
    CARD.check_options({})
    with pytest.raises(TypeError, match="'tiny' has no option 'sede'; it has: transform, split"):
        CARD.check_options({"sede": 3})
    with pytest.raises(ValueError, match=r"'split' of 'tiny' must be one of .*, got 'val'"):
        CARD.check_options({"seed": 1, "split": "val"})


def test_missing_files(tmp_path):
    assert CARD.missing(tmp_path) == ["a.txt", "raw/b.txt"]
    (tmp_path / "Tiny" / "raw").mkdir(parents=True)
    (tmp_path / "Tiny" / "a.txt").mkdir()
    (tmp_path / "Tiny" / "raw" / "b.txt").touch()
    assert CARD.missing(tmp_path) == ["a.txt"], "a folder is no file"
