"""The public dataset contract, on an embedded set and on sets read from files."""

import os
from pathlib import Path
from unittest import mock

import pytest
import torch

from graphkit.datasets import DigitsGraph, load
from graphkit.testing import DatasetSuite
from tests.datasets.files import TINY, write_arxiv, write_tu


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
