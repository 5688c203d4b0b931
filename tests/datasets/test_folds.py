import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from graphkit.datasets import (
    DamagedDataError,
    DatasetCard,
    MissingDataError,
    find_card,
    gin_folds,
)

GRAPHS = 188


def write_folds(root):
    folder = root / "TUDataset" / "MUTAG" / "10fold_idx"
    folder.mkdir(parents=True)
    order = np.random.default_rng(0).permutation(GRAPHS)
    for k in range(10):
        test = order[k * 18 : (k + 1) * 18]
        np.savetxt(folder / f"test_idx-{k + 1}.txt", test, fmt="%d")
        np.savetxt(folder / f"train_idx-{k + 1}.txt", np.setdiff1d(order, test), fmt="%d")
    return folder


def test_folds_are_read_in_order(root):
    folder = write_folds(root)
    folds = gin_folds("mutag")
    assert len(folds) == 10
    for k, (train, test) in enumerate(folds, start=1):
        assert test.tolist() == sorted(np.loadtxt(folder / f"test_idx-{k}.txt", dtype=int))
        assert sorted([*train, *test]) == list(range(GRAPHS))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("test_idx-3.txt", "1\n2\n", "train_idx-3.txt' and 'test_idx-3.txt' do not cover"),
        ("train_idx-2.txt", "5\n5\n", "train_idx-2.txt' must hold different numbers"),
        ("train_idx-2.txt", "188\n", "from 0 to 187, got 1 from 188 to 188"),
        ("train_idx-1.txt", "a\n", "cannot read .*train_idx-1.txt"),
    ],
)
def test_damaged_folds_are_named(root, file, content, message):
    (write_folds(root) / file).write_text(content)
    with pytest.raises(DamagedDataError, match=message):
        gin_folds("MUTAG")


def test_overlapping_test_folds_are_named(root):
    folder = write_folds(root)
    for part in ("train", "test"):
        shutil.copy(folder / f"{part}_idx-1.txt", folder / f"{part}_idx-2.txt")
    with pytest.raises(DamagedDataError, match="is in 2 of the test folds"):
        gin_folds("MUTAG")


def test_missing_folds_are_named(root):
    with pytest.raises(MissingDataError, match=r"10fold_idx/train_idx-1\.txt") as caught:
        gin_folds("MUTAG")
    assert str(root / "TUDataset" / "MUTAG") in str(caught.value)
    assert "powerful-gnns" in str(caught.value)


def test_only_sets_of_graphs_have_folds(root):
    with pytest.raises(ValueError, match="'name' must be a set of graphs"):
        gin_folds("Cora")


@pytest.mark.data
@pytest.mark.parametrize("name", ["MUTAG", "IMDB-BINARY", "PROTEINS", "ENZYMES"])
def test_published_folds(data_root, name):
    graphs = find_card(name).counts["graphs"]
    folds = gin_folds(name, root=data_root)
    assert all(len(test) == graphs // 10 for _, test in folds)
    tested = np.concatenate([test for _, test in folds])
    assert len(np.unique(tested)) == len(tested) == graphs // 10 * 10


def written(folder: Path, graphs: int) -> Path:
    """Folds in GIN's layout, each tenth of the graphs tested once."""
    place = folder / "10fold_idx"
    place.mkdir(parents=True)
    for k in range(10):
        test = range(k, graphs, 10)
        train = [i for i in range(graphs) if i not in test]
        for part, index in (("train", train), ("test", test)):
            (place / f"{part}_idx-{k + 1}.txt").write_text("\n".join(map(str, index)) + "\n")
    return folder


def test_any_set_of_graphs_may_have_folds(tmp_path: Path) -> None:
    folder = written(tmp_path / "sets" / "MINE", 25)
    card = DatasetCard("MINE", "mine", "a:B", folder="sets/MINE", files=("x",))
    counted = dataclasses.replace(card, counts={"graphs": 26})
    for name in (folder, str(folder), str(folder / "graphs.pt")):
        folds = gin_folds(name)
        assert folds[3][1].tolist() == [3, 13, 23]
        assert all(len(train) + len(test) == 25 for train, test in folds)
    assert gin_folds(card, tmp_path)[0][1].tolist() == [0, 10, 20]
    with pytest.raises(DamagedDataError, match="do not cover the 26 graphs of 'MINE'"):
        gin_folds(counted, tmp_path)
    (folder / "10fold_idx" / "test_idx-4.txt").write_text("3\n13\n25\n")
    with pytest.raises(DamagedDataError, match=r"test_idx-4.txt' must hold different numbers"):
        gin_folds(folder)
    with pytest.raises(MissingDataError, match="one graph's number per line"):
        gin_folds(str(tmp_path / "other.pt"))
