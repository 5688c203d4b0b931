"""The contract of a dataset, as a pytest class to inherit."""

from __future__ import annotations

import hashlib
import pickle
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import torch
from torch import Tensor
from torch_geometric.data import Data, Dataset, HeteroData
from torch_geometric.loader import DataLoader

from graphkit.testing.stores import edge_stores, named_tensors
from graphkit.testing.suite import Suite, seed_everything

SPLITS = ("train_mask", "val_mask", "test_mask")


class DatasetSuite(Suite, ABC):
    """The contract of a :class:`torch_geometric.data.Dataset`.

    A test supplies :meth:`make`, which builds the set with its processed files under a cache
    folder, and :meth:`raw_root` where raw files are read from (:obj:`None` for embedded and
    generated sets). Sets whose splits are not masks override :meth:`splits`.

    Example:
        >>> from torch_geometric.datasets import KarateClub
        >>> class TestKarateClub(DatasetSuite):
        ...     not_claimed = {"splits": "one training mask and nothing else",
        ...                    "raw_untouched": "embedded, no raw files"}
        ...     def make(self, cache):
        ...         return KarateClub()
        ...     def raw_root(self):
        ...         return None
        >>> for name in ("valid", "deterministic", "pickle", "offline"):
        ...     TestKarateClub.check(name)()
    """

    looked_at: int = 8
    """How many graphs the checks look at."""

    @abstractmethod
    def make(self, cache: Path) -> Dataset:
        """Builds the set, its processed files under ``cache``."""

    @abstractmethod
    def raw_root(self) -> Path | None:
        """The folder of raw files, which must never be written to; :obj:`None` without any."""

    def splits(self, dataset: Dataset) -> dict[str, Tensor]:
        """The parts as index tensors by name; by default from the masks of the first graph."""
        data = dataset[0]
        masks = {name: data[name] for name in SPLITS if name in data}
        return {
            name: mask.view(mask.size(0), -1)[:, 0].nonzero()[:, 0] for name, mask in masks.items()
        }

    def test_valid(self) -> None:
        """Every graph is valid, its edges are int64 and in range, its features are finite."""
        with self._made() as dataset:
            assert len(dataset) > 0, "the set is empty"
            for data in self._graphs(dataset):
                assert isinstance(data, Data | HeteroData), f"a {type(data).__name__}"
                data.validate(raise_on_error=True)
                for store in edge_stores(data).values():
                    if "edge_index" in store:
                        assert store.edge_index.dtype == torch.int64, "edge_index is not int64"
                for name, (_, value, *_) in named_tensors(data):
                    if value.is_floating_point() and name != "y":
                        assert value.isfinite().all(), f"{name} is not finite"

    def test_labels(self) -> None:
        """Integer labels lie in ``[0, num_classes)``, and ``num_features`` is that of ``x``."""
        with self._made() as dataset:
            for data in self._graphs(dataset):
                y = data.get("y", None)
                if isinstance(y, Tensor) and not y.is_floating_point() and y.numel():
                    low, high = int(y.min()), int(y.max())
                    assert low >= 0, f"label {low}"
                    assert high < dataset.num_classes, f"label {high} of {dataset.num_classes}"
                if isinstance(data, Data) and data.x is not None:
                    assert data.num_features == dataset.num_features

    def test_deterministic(self) -> None:
        """Built twice, from nothing and from the cache, the tensors are the same."""
        with TemporaryDirectory() as one, TemporaryDirectory() as two:
            seed_everything(0)
            first = self._fingerprints(self.make(Path(one)))
            seed_everything(1)
            assert self._fingerprints(self.make(Path(two))) == first, "a new build differs"
            assert self._fingerprints(self.make(Path(two))) == first, "the cached set differs"

    def test_access_is_pure(self) -> None:
        """Changing a graph that was taken out does not change the set."""
        with self._made() as dataset:
            before = self._fingerprints(dataset)
            taken = dataset[0]
            taken.extra = torch.ones(1)
            assert self._fingerprints(dataset) == before, "the set changed with a taken graph"

    def test_splits(self) -> None:
        """There are at least two parts, none empty, no two overlap, all indices in range."""
        with self._made() as dataset:
            parts = self.splits(dataset)
            assert len(parts) > 1, f"only the parts {sorted(parts)}"
            for name, index in parts.items():
                assert index.numel(), f"{name} is empty"
                assert index.unique().numel() == index.numel(), f"{name} holds doubles"
            for (a, one), (b, two) in combinations(parts.items(), 2):
                both = set(one.tolist()) & set(two.tolist())
                assert not both, f"{a} and {b} share {len(both)} entries"

    def test_batches(self) -> None:
        """PyG's :class:`~torch_geometric.loader.DataLoader` batches its graphs."""
        with self._made() as dataset:
            batch = next(iter(DataLoader(dataset, batch_size=2)))
            sizes = [data.num_nodes for data in self._graphs(dataset)][:2]
            assert batch.num_nodes == sum(sizes), f"{batch.num_nodes} nodes from {sizes}"

    def test_pickle(self) -> None:
        """The set survives pickling, as loaders with workers need."""
        with self._made() as dataset:
            back = pickle.loads(pickle.dumps(dataset))
            assert self._fingerprints(back) == self._fingerprints(dataset)

    def test_raw_untouched(self) -> None:
        """Building writes nothing into, and changes nothing of, the folder of raw files."""
        root = self.raw_root()
        assert root is not None, "raw_root() is None: decline this check with a reason"
        before = _listing(root)
        with self._made() as dataset:
            self._graphs(dataset)
        after = _listing(root)
        changed = {name for name in before | after if before.get(name) != after.get(name)}
        assert not changed, f"changed under the raw root: {sorted(changed)}"

    def test_offline(self) -> None:
        """With its files there, the set opens no connection."""

        def refuse(*_: object) -> None:
            raise AssertionError("the set opens a network connection")

        with mock.patch.object(socket.socket, "connect", refuse), self._made() as dataset:
            assert len(dataset) > 0

    @contextmanager
    def _made(self) -> Iterator[Dataset]:
        seed_everything()
        with TemporaryDirectory() as cache:
            yield self.make(Path(cache))

    def _graphs(self, dataset: Dataset) -> list[Data | HeteroData]:
        return [dataset[i] for i in range(min(len(dataset), self.looked_at))]

    def _fingerprints(self, dataset: Dataset) -> list[dict[str, str]]:
        graphs = self._graphs(dataset)
        return [
            {name: _digest(value) for name, (_, value, *_) in named_tensors(data)}
            for data in graphs
        ]


def _digest(value: Tensor) -> str:
    plain = value.to_dense() if value.layout != torch.strided else value
    blob = plain.detach().cpu().contiguous().numpy().tobytes()
    return f"{value.dtype} {tuple(value.shape)} {hashlib.sha256(blob).hexdigest()}"


def _listing(root: Path) -> dict[str, tuple[int, int]]:
    files = {path: path.lstat() for path in root.rglob("*")}
    return {str(path): (stat.st_size, stat.st_mtime_ns) for path, stat in files.items()}
