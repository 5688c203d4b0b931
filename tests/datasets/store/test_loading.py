import hashlib
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from torch_geometric.datasets import TUDataset
from torch_geometric.loader import DataLoader
from torch_geometric.transforms import Constant

from graphkit.datasets import (
    DamagedDataError,
    MissingDataError,
    UnknownDatasetError,
    dataset_cards,
    load,
)
from graphkit.datasets.store import loading
from tests.datasets.files import TINY, write_tu
from tests.processes import Process

PRESENT = [
    "Cora",
    "CiteSeer",
    "Computers",
    "Photo",
    "CS",
    "DBLP",
    "MUTAG",
    "IMDB-BINARY",
    "PROTEINS",
    "ENZYMES",
]


def tree_hash(folder: Path) -> str:
    """Names, contents and times of all files below a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        digest.update(f"{path} {path.stat().st_mtime_ns}".encode() + content)
    return digest.hexdigest()


def processed_folders(cache: Path) -> list[Path]:
    return list((cache / "processed" / "TINY").iterdir())


def test_a_set_is_what_pyg_reads_from_the_same_files(root, cache):
    write_tu(root)
    ours = load(TINY)
    shutil.copytree(root / "TUDataset", cache / "reference")
    theirs = TUDataset(str(cache / "reference"), "TINY")
    assert isinstance(ours, TUDataset)
    assert len(ours) == len(theirs) == 3
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one.x, other.x)
        assert torch.equal(one.edge_index, other.edge_index)
        assert torch.equal(one.y, other.y)


def test_nothing_is_written_next_to_the_raw_files(root, cache):
    write_tu(root)
    before = tree_hash(root)
    load(TINY)
    load(TINY)
    assert tree_hash(root) == before
    assert len(processed_folders(cache)) == 1


def test_a_changed_raw_file_is_noticed(root, cache):
    write_tu(root)
    assert load(TINY).y.tolist() == [1, 0, 1]
    write_tu(root, labels="-1\n1\n-1\n")
    assert load(TINY).y.tolist() == [0, 1, 0]
    write_tu(root)
    assert load(TINY).y.tolist() == [1, 0, 1]
    assert len(processed_folders(cache)) == 2


def test_another_version_of_pyg_makes_processed_files_anew(root, cache, monkeypatch):
    write_tu(root)
    load(TINY)
    monkeypatch.setattr("torch_geometric.__version__", "99.0")
    load(TINY)
    assert len(processed_folders(cache)) == 2


def test_a_failed_build_leaves_nothing(root, cache, monkeypatch):
    write_tu(root)

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(loading, "check_counts", fail)
    with pytest.raises(KeyboardInterrupt):
        load(TINY)
    assert processed_folders(cache) == []


def test_the_build_that_comes_second_gives_way(root, cache, monkeypatch):
    write_tu(root)
    rename, winners = os.rename, []

    def late_rename(source, target):
        if not winners:
            winners.append(target)
            shutil.copytree(source, target)
        rename(source, target)

    monkeypatch.setattr(loading.os, "rename", late_rename)
    assert len(load(TINY)) == 3
    assert processed_folders(cache) == [Path(winners[0])]


def test_two_processes_may_load_at_once(root, cache):
    write_tu(root)
    program = (
        "from graphkit.datasets import load\n"
        "from tests.datasets.files import TINY\n"
        "print(load(TINY).y.tolist())\n"
    )
    for process in [Process(program), Process(program)]:
        done = process.wait()
        assert done.stdout.strip() == "[1, 0, 1]", done.stderr
    assert len(processed_folders(cache)) == 1


def test_missing_files_are_named_and_nothing_takes_their_place(root, cache):
    folder = write_tu(root)
    (folder / "TINY_graph_labels.txt").unlink()
    with pytest.raises(MissingDataError) as caught:
        load(TINY)
    message = str(caught.value)
    assert f"'{root / TINY.folder}' lacks raw/TINY_graph_labels.txt" in message
    assert f"'{cache / 'data' / TINY.folder}' lacks all of them" in message
    assert "GRAPHKIT_DATA" in message
    assert "GRAPHKIT_OFFLINE" in message


@pytest.mark.parametrize("card", [c for c in dataset_cards() if c.files], ids=lambda c: c.name)
def test_every_missing_set_says_folder_files_and_source(root, card):
    with pytest.raises(MissingDataError) as caught:
        load(card.name, download=False)
    message = str(caught.value)
    assert str(root / card.folder) in message
    assert card.source in message
    for file in card.files:
        assert file in message


def test_files_in_the_cache_are_found_without_graphkit_data(cache, monkeypatch):
    monkeypatch.delenv("GRAPHKIT_DATA", raising=False)
    write_tu(cache / "data")
    assert len(load(TINY)) == 3


def test_a_given_root_goes_before_graphkit_data(root, cache, tmp_path):
    write_tu(root)
    write_tu(tmp_path / "other", labels="1\n1\n-1\n")
    assert load(TINY, root=tmp_path / "other").y.tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("TINY_A.txt", "", "TINY_A.txt': it is empty"),
        ("TINY_A.txt", "1, 2\n2,", "TINY_A.txt'"),
        ("TINY_A.txt", "1, 2\n2, 1\n", "2 edges .published: 8."),
        ("TINY_A.txt", "1, 2\n2, 99\n", "TINY"),
        ("TINY_graph_labels.txt", "1\nnan\n1\n", "TINY_graph_labels.txt'"),
        ("TINY_graph_labels.txt", "1\n", "TINY"),
        (
            "TINY_node_labels.txt",
            "0\n1\n",
            "node_labels.txt' has 2 rows, but .*_indicator.txt' has 7",
        ),
    ],
)
def test_truncated_files_are_noticed(root, cache, file, content, message):
    folder = write_tu(root)
    (folder / file).write_text(content)
    with pytest.raises(DamagedDataError, match=message) as caught:
        load(TINY)
    assert str(root) in str(caught.value)
    assert processed_folders(cache) == []


def test_damaged_processed_files_are_named(root, cache):
    write_tu(root)
    load(TINY)
    (file,) = (cache / "processed" / "TINY").rglob("data.pt")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DamagedDataError, match="Delete that folder") as caught:
        load(TINY)
    assert str(file.parent) in str(caught.value)


def test_transform_is_applied_at_access_and_not_stored(root, cache):
    write_tu(root)
    assert load(TINY, transform=Constant())[0].num_features == 3
    assert load(TINY)[0].num_features == 2
    assert len(processed_folders(cache)) == 1


def test_datasets_survive_pickling_and_feed_loaders(root, cache):
    write_tu(root)
    dataset = pickle.loads(pickle.dumps(load(TINY)))
    (batch,) = DataLoader(dataset, batch_size=3)
    assert batch.num_nodes == 7
    assert Path(dataset.raw_dir) == root / TINY.folder / "raw"


def test_wrong_names_and_options_are_named(root):
    with pytest.raises(UnknownDatasetError, match="'Coar'; did you mean 'Cora'"):
        load("Coar")
    with pytest.raises(TypeError, match="no option 'splitt'; it has: transform, split"):
        load("Cora", splitt="full")
    with pytest.raises(ValueError, match="'split' of 'Cora' must be one of"):
        load("Cora", split="geom-gcn")


@pytest.mark.parametrize("name", ["digits", "karateclub"])
def test_embedded_sets_need_no_folder(root, name):
    dataset = load(name)
    card = next(c for c in dataset_cards() if c.name.lower() == name)
    found = loading.count(dataset)
    assert {key: found[key] for key in card.counts} == card.counts
    assert dataset[0].validate()


@pytest.mark.data
@pytest.mark.parametrize("name", PRESENT)
def test_published_counts(data_root, cache, name):
    card = next(c for c in dataset_cards() if c.name == name)
    dataset = load(name, root=data_root, download=False)
    found = loading.count(dataset)
    assert {key: found[key] for key in card.counts} == card.counts
    data = dataset[0]
    assert data.validate()
    assert data.is_undirected()
    assert not data.has_self_loops()


@pytest.mark.data
@pytest.mark.parametrize(("name", "train"), [("Cora", 140), ("CiteSeer", 120)])
def test_public_split(data_root, cache, name, train):
    data = load(name, root=data_root)[0]
    masks = [data.train_mask, data.val_mask, data.test_mask]
    assert [int(mask.sum()) for mask in masks] == [train, 500, 1000]
    assert not (masks[0] & masks[1] | masks[0] & masks[2] | masks[1] & masks[2]).any()
    full = load(name, root=data_root, split="full")[0]
    assert int(full.train_mask.sum()) == data.num_nodes - 1500


@pytest.mark.data
def test_a_copy_of_real_files_stays_as_it_is(data_root, cache, tmp_path):
    source = data_root / "Planetoid" / "Cora"
    copy = tmp_path / "copy" / "Planetoid" / "Cora"
    shutil.copytree(source, copy)
    for path in [copy / "raw", copy]:
        path.chmod(0o555)
    before = tree_hash(tmp_path / "copy")
    assert load("Cora", root=tmp_path / "copy")[0].num_nodes == 2708
    assert tree_hash(tmp_path / "copy") == before
    for path in [copy, copy / "raw"]:
        path.chmod(0o755)


@pytest.mark.data
@pytest.mark.parametrize("file", ["ind.cora.allx", "ind.cora.graph", "ind.cora.test.index"])
def test_truncated_planetoid_files_are_named(data_root, cache, tmp_path, file):
    folder = tmp_path / "copy" / "Planetoid" / "Cora"
    shutil.copytree(data_root / "Planetoid" / "Cora", folder)
    path = folder / "raw" / file
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DamagedDataError, match=file.replace(".", r"\.")):
        load("Cora", root=tmp_path / "copy")
