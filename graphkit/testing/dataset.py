"""The contract of a dataset, as a pytest class to inherit."""

from __future__ import annotations

import hashlib
import pickle
import shutil
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data, Dataset, HeteroData
from torch_geometric.loader import DataLoader

from graphkit.testing.damage import (
    add_strays,
    cut,
    full_disk,
    lengthen_number,
    make_hole,
    respell,
    text_files,
)
from graphkit.testing.stores import edge_stores, named_tensors
from graphkit.testing.suite import Suite, seed_everything

SPLITS = ("train_mask", "val_mask", "test_mask")


class DatasetSuite(Suite, ABC):
    """The contract of a :class:`torch_geometric.data.Dataset`.

    A test supplies :meth:`make`, which builds the set with its processed files under a cache
    folder, and :meth:`raw_root` where raw files are read from (:obj:`None` for embedded and
    generated sets). Sets whose splits are not masks override :meth:`splits`.

    Where :meth:`make` asks :meth:`raw_root` for its folder, the checks of damage hand it a copy:
    with stray files, other spellings of the same text, holes and cuts. Where it does not, or
    there are no raw files, they are skipped and say so.

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

    damaged: int = 12
    """How many raw files are damaged, one after another."""

    refusals: tuple[type[Exception], ...] = (ValueError, FileNotFoundError)
    """What the set may raise for damaged raw files, documented in its docstring."""

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

    def test_stray_files(self) -> None:
        """Files of archives and systems beside the raw ones change nothing."""
        with self._copied() as (root, build):
            wanted = build()
            add_strays(root)
            assert build() == wanted, "the set differs with stray files beside its own"

    def test_last_newline(self) -> None:
        """Text without a newline at its end, or with blank lines there, is the same set."""
        self._respelt("last_newline")
        self._respelt("blank_lines")

    def test_line_ends(self) -> None:
        """Text with Windows' line ends is the same set."""
        self._respelt("line_ends")

    def test_byte_order_mark(self) -> None:
        """Text with a byte order mark is the same set."""
        self._respelt("byte_order_mark")

    def test_holes(self) -> None:
        """A hole of zeros in a raw file changes nothing, or is an error that names the file."""
        self._damaged(make_hole)

    def test_cut_files(self) -> None:
        """A raw file of half its length changes nothing, or is an error that names it.

        Or its folder: text that is cut behind a line looks whole, and only counts tell.
        """
        self._damaged(cut, folders=True)

    def test_long_numbers(self) -> None:
        """A whole number beyond 64 bits in a text is read, or is an error that names the file."""
        with self._copied() as (root, build):
            files = text_files(root)
            for path in files[:: max(len(files) // self.damaged, 1)]:
                content = path.read_bytes()
                for place in (0.0, 0.5, 1.0):
                    lengthen_number(path, place)
                    found = self._built_or_refused(build)
                    named = not isinstance(found, Exception) or path.name in str(found)
                    assert named, f"{path.name} is not named: {found}"
                    path.write_bytes(content)

    def test_full_disk(self) -> None:
        """On a full disk the error names the cache and no raw file, and nothing half is left."""
        root = self.raw_root()
        with TemporaryDirectory() as cache:
            folder = Path(cache) / "cache"
            folder.mkdir()
            text = str(folder)
            try:
                with full_disk():
                    self.make(folder)
            except OSError as error:
                text = str(error)
            assert str(folder) in text, f"the error does not name the cache: {text}"
            names = [] if root is None else [path.name for path in root.rglob("*.*")]
            blamed = [name for name in names if name in text]
            assert not blamed, f"raw files are blamed for a full disk: {blamed}"
            with TemporaryDirectory() as other:
                wanted = self._fingerprints(self.make(Path(other)))
            assert self._fingerprints(self.make(folder)) == wanted, "something half was left"

    @contextmanager
    def _copied(self) -> Iterator[tuple[Path, Callable[[], list[dict[str, str]]]]]:
        """A copy of the raw files, and what builds the set from it in a new cache."""
        root = self.raw_root()
        if root is None:
            pytest.skip("the set has no raw files")
        with TemporaryDirectory() as folder:
            copy, asked = Path(folder) / "raw", []
            shutil.copytree(root, copy)

            def raw_root(_: DatasetSuite) -> Path:
                asked.append(True)
                return copy

            def build() -> list[dict[str, str]]:
                seed_everything()
                with (
                    TemporaryDirectory() as cache,
                    mock.patch.object(type(self), "raw_root", raw_root),
                ):
                    prints = self._fingerprints(self.make(Path(cache)))
                if not asked:
                    pytest.skip("make() does not ask raw_root() where to read from")
                return prints

            yield copy, build

    def _respelt(self, spelling: str) -> None:
        with self._copied() as (root, build):
            wanted, files = build(), text_files(root)
            if not files:
                pytest.skip("the set has no text files")
            for path in files:
                respell(path, spelling)
            assert build() == wanted, f"the set differs: {spelling} of {[p.name for p in files]}"

    def _damaged(self, damage: Callable[[Path], None], folders: bool = False) -> None:
        with self._copied() as (root, build):
            wanted = build()
            files = sorted(path for path in root.rglob("*") if path.is_file())
            for path in files[:: max(len(files) // self.damaged, 1)]:
                content = path.read_bytes()
                damage(path)
                found = self._built_or_refused(build)
                same = found == wanted or isinstance(found, Exception)
                assert same, f"{path.name} is damaged, and the set differs"
                places = (path.name, str(root)) if folders else (path.name,)
                named = found == wanted or any(place in str(found) for place in places)
                assert named, f"{path.name} is not named: {found}"
                path.write_bytes(content)

    def _built_or_refused(self, build: Callable[[], list[dict[str, str]]]) -> object:
        try:
            return build()
        except self.refusals as error:
            return error

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
