"""The public dataset contract, on an embedded set and on sets read from files."""

import os
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
import torch

from graphkit.datasets import DigitsGraph, find_card, load
from graphkit.testing import DatasetSuite
from tests.datasets.files import TINY, write_arxiv, write_ppi, write_tu
from tests.datasets.store.test_published import NPZ, SMALL, write_npz, write_planetoid
from tests.datasets.test_modelnet_points import write as write_voxels


class TestDigitsGraph(DatasetSuite):
    not_claimed = {"raw_untouched": "embedded in scikit-learn, no raw files"}

    def make(self, cache):
        return DigitsGraph()

    def raw_root(self):
        return None


class FromFiles(DatasetSuite):
    """A set that ``load`` reads from a folder of its own."""

    @pytest.fixture(autouse=True)
    def _files(self, tmp_path):
        self.raw = tmp_path
        self.write(tmp_path)

    def raw_root(self) -> Path:
        return self.raw

    def load(self, cache, which):
        with mock.patch.dict(os.environ, GRAPHKIT_CACHE=str(cache), GRAPHKIT_OFFLINE="1"):
            return load(which, root=self.raw_root())


class TestOGBNArxiv(FromFiles):
    def write(self, root):
        write_arxiv(root)

    def make(self, cache):
        return self.load(cache, "ogbn-arxiv")


class TestTUDataset(FromFiles):
    def write(self, root):
        write_tu(root)

    def make(self, cache):
        return self.load(cache, TINY)

    def splits(self, dataset):
        return {"train": torch.tensor([0, 1]), "test": torch.tensor([2])}


class TestPlanetoid(FromFiles):
    damaged = 4

    def write(self, root):
        write_planetoid(root)

    def make(self, cache):
        return self.load(cache, SMALL)


class TestAmazon(FromFiles):
    def write(self, root):
        write_npz(root)

    def make(self, cache):
        return self.load(cache, NPZ)

    def splits(self, dataset):
        return {"train": torch.tensor([0, 1]), "test": torch.tensor([2])}


class TestPPI(FromFiles):
    damaged = 4

    @pytest.fixture(autouse=True)
    def _unchecked(self, monkeypatch):
        monkeypatch.setattr("graphkit.datasets.store.loading.check_counts", lambda *_: None)

    def write(self, root):
        write_ppi(root)

    def make(self, cache):
        return self.load(cache, "PPI")

    def splits(self, dataset):
        return {"train": torch.tensor([0]), "test": torch.tensor([1])}


class TestModelNet10Points(FromFiles):
    def write(self, root):
        write_voxels(root)

    def make(self, cache):
        card = replace(find_card("ModelNet10Points"), checked=False)
        return self.load(cache, card)

    def splits(self, dataset):
        return {"train": torch.tensor([0, 1]), "test": torch.tensor([2])}
