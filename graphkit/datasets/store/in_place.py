"""PyG's dataset classes, with raw and processed files in folders of the caller's choice."""

# fingerprint: not counted

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike, fspath
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch_geometric import datasets as pyg
from torch_geometric.data import InMemoryDataset

from graphkit.datasets.store.published import check_npz, tidy_planetoid, tidy_ppi, tidy_tu
from graphkit.datasets.store.reading.archives import check_arrays

__all__ = [
    "PPI",
    "Amazon",
    "CitationFull",
    "Coauthor",
    "InPlace",
    "Planetoid",
    "Reddit",
    "TUDataset",
    "in_place",
]


class InPlace:
    r"""Mixin for PyG data sets that keeps raw and processed files apart.

    Args:
        root (str): Passed on to PyG, which downloads archives into it.
        raw_folder (str or Path): Folder of the raw files; read only.
        processed_folder (str or Path): Folder of the processed files.
        **kwargs (optional): Arguments of the PyG class.
    """

    also_read: ClassVar[tuple[str, ...] | None] = None
    """Patterns of the files that are read from the raw folder beside those that the card needs,
    with the card's arguments in braces; :obj:`None` if that is not known."""

    def __init__(
        self,
        root: str | PathLike[str],
        *,
        raw_folder: str | PathLike[str],
        processed_folder: str | PathLike[str],
        **kwargs: Any,
    ) -> None:
        self.raw_folder, self.processed_folder = fspath(raw_folder), fspath(processed_folder)
        super().__init__(root=fspath(root), **kwargs)  # type: ignore[call-arg]

    @property
    def raw_dir(self) -> str:
        return self.raw_folder

    @property
    def processed_dir(self) -> str:
        return self.processed_folder

    @contextmanager
    def tidied(self, tidy: Callable[[Path, Path], None]) -> Iterator[None]:
        """Raw files that were looked at and written anew, for the length of a block."""
        raw, parent = self.raw_folder, Path(self.processed_folder).parent
        with tempfile.TemporaryDirectory(prefix=".tidy-", dir=parent) as aside:
            tidy(Path(raw), Path(aside))
            self.raw_folder = aside
            try:
                yield
            finally:
                self.raw_folder = raw


def in_place(cls: type) -> type:
    """A PyG data set class that takes ``raw_folder`` and ``processed_folder``; itself if it does.

    Raises:
        TypeError: If it is no :class:`~torch_geometric.data.InMemoryDataset`.
    """
    taken = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
    if issubclass(cls, InPlace) or "raw_folder" in taken:
        return cls
    if not issubclass(cls, InMemoryDataset):
        raise TypeError(f"{cls.__name__} is no InMemoryDataset and takes no 'raw_folder'")
    return type(cls.__name__, (InPlace, cls), {"__doc__": cls.__doc__})


class Planetoid(InPlace, pyg.Planetoid):
    """:class:`torch_geometric.datasets.Planetoid`, read in place and without running code."""

    also_read = ()

    def process(self) -> None:
        with self.tidied(lambda raw, aside: tidy_planetoid(raw, self.name, aside)):
            super().process()


class Amazon(InPlace, pyg.Amazon):
    """:class:`torch_geometric.datasets.Amazon`, read in place."""

    also_read = ()

    def process(self) -> None:
        check_npz(Path(self.raw_paths[0]))
        super().process()


class Coauthor(InPlace, pyg.Coauthor):
    """:class:`torch_geometric.datasets.Coauthor`, read in place."""

    also_read = ()

    def process(self) -> None:
        check_npz(Path(self.raw_paths[0]))
        super().process()


class CitationFull(InPlace, pyg.CitationFull):
    """:class:`torch_geometric.datasets.CitationFull`, read in place."""

    also_read = ()

    def process(self) -> None:
        check_npz(Path(self.raw_paths[0]))
        super().process()


class TUDataset(InPlace, pyg.TUDataset):
    """:class:`torch_geometric.datasets.TUDataset`, read in place."""

    also_read = tuple(
        f"{{name}}_{part}.txt"
        for part in (
            "node_labels",
            "node_attributes",
            "edge_labels",
            "edge_attributes",
            "graph_labels",
            "graph_attributes",
        )
    )

    def process(self) -> None:
        with self.tidied(lambda raw, aside: tidy_tu(raw, self.name, aside)):
            super().process()
        self.mend(Path(self.processed_paths[0]))

    def mend(self, path: Path) -> None:
        """Counts graphs without edges at the end of the set, which PyG forgets."""
        content, slices, *rest = torch.load(path, weights_only=True)
        length = max(len(ends) for ends in slices.values())
        short = {key: ends for key, ends in slices.items() if len(ends) < length}
        if short:
            for key, ends in short.items():
                slices[key] = torch.cat([ends, ends[-1:].expand(length - len(ends))])
            torch.save((content, slices, *rest), path)


class PPI(InPlace, pyg.PPI):
    """:class:`torch_geometric.datasets.PPI`, read in place."""

    also_read = ()

    def process(self) -> None:
        with self.tidied(tidy_ppi):
            super().process()


class Reddit(InPlace, pyg.Reddit):
    """:class:`torch_geometric.datasets.Reddit`, read in place."""

    also_read = ()

    def process(self) -> None:
        features, graph = self.raw_paths
        check_arrays(features, ("feature", "label", "node_types"))
        check_arrays(graph, ("row", "col", "data", "shape", "format"))
        super().process()
