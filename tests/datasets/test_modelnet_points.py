from dataclasses import replace

import numpy as np
import pytest
import torch

from graphkit.datasets import DamagedDataError, ModelNet10Points, find_card, load
from graphkit.datasets.modelnet_points import draw


def shapes(count, seed=0):
    """Random voxels with one empty shape."""
    generator = np.random.default_rng(seed)
    voxels = (generator.random((count, 30, 30, 30)) < 0.002).astype(np.int32)
    voxels[1] = 0
    return voxels, np.arange(count) % 10


def write(root, **changes):
    (root / "ModelNet10").mkdir(exist_ok=True)
    arrays = dict(zip(("X_train", "y_train"), shapes(12), strict=True))
    arrays |= dict(zip(("X_test", "y_test"), shapes(11, 1), strict=True))
    np.savez_compressed(root / "ModelNet10" / "modelnet10.npz", **{**arrays, **changes})
    return arrays


@pytest.fixture
def card():
    return replace(find_card("ModelNet10Points"), checked=False)


def test_points_lie_in_their_voxels():
    cells = shapes(3)[0][2] > 0
    points = draw(cells, 500, np.random.default_rng(0)).double().numpy()
    occupied = np.argwhere(cells)
    assert np.linalg.norm(points, axis=1).max() == pytest.approx(1.0)
    assert points.mean(axis=0) == pytest.approx(0.0, abs=1e-6)
    first = occupied[np.random.default_rng(0).permutation(len(occupied))]
    scale = np.linalg.norm(points[1] - points[0])
    raw = np.random.default_rng(0)
    raw.permutation(len(occupied))
    extra = raw.integers(len(occupied), size=500 - len(occupied))
    jitter = raw.random((500, 3))
    wanted = np.concatenate([first, occupied[extra]]) + jitter
    wanted = (wanted - wanted.mean(axis=0)) * (scale / np.linalg.norm(wanted[1] - wanted[0]))
    assert points == pytest.approx(wanted, abs=1e-5)


def test_shapes_and_labels_in_the_published_format(root, cache, card):
    arrays = write(root)
    for split, count in (("train", 11), ("test", 10)):
        dataset = load(card, split=split, num_points=40)
        kept = np.delete(arrays[f"y_{split}"], 1)
        assert [int(data.y) for data in dataset] == kept.tolist()
        assert len(dataset) == count
        assert dataset[0].pos.shape == (40, 3)
        assert dataset[0].pos.dtype == torch.float32
    again, other = (load(card, num_points=40, seed=seed)[0].pos for seed in (0, 1))
    assert torch.equal(again, load(card, num_points=40)[0].pos)
    assert not torch.equal(again, other)


def test_single_voxel_is_finite():
    cells = np.zeros((3, 3, 3), dtype=bool)
    cells[1, 1, 1] = True
    assert draw(cells, 1, np.random.default_rng(0)).tolist() == [[0.0, 0.0, 0.0]]


def test_damaged_files_are_named(root, cache, card):
    for changes in ({"y_test": np.zeros(3)}, {"X_train": np.zeros((12, 30))}):
        write(root, **changes)
        with pytest.raises(DamagedDataError, match=r"modelnet10\.npz.*shape"):
            load(card)
    np.savez(root / "ModelNet10" / "modelnet10.npz", X_train=np.zeros((1, 2, 2, 2)))
    with pytest.raises(DamagedDataError, match=r"modelnet10\.npz.*y_train"):
        load(card)


def test_wrong_options_are_named(tmp_path):
    folders = {"root": str(tmp_path), "raw_folder": tmp_path, "processed_folder": tmp_path}
    with pytest.raises(ValueError, match=r"'split'.*'val'"):
        ModelNet10Points(**folders, split="val")
    with pytest.raises(ValueError, match=r"'num_points'.*0"):
        ModelNet10Points(**folders, num_points=0)


@pytest.mark.data
def test_published_file(data_root, cache):
    dataset = load("ModelNet10Points", data_root, split="test", num_points=16)
    assert len(dataset) == 907
    assert torch.tensor([int(data.y) for data in dataset]).bincount().tolist() == [
        *(50, 100, 100, 85, 86, 100, 86, 100, 100, 100),
    ]
