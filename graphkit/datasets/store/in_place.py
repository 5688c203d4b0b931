"""PyG's dataset classes, with raw and processed files in folders of the caller's choice."""

from __future__ import annotations

from os import PathLike, fspath
from typing import Any

from torch_geometric import datasets as pyg

__all__ = [
    "PPI",
    "Amazon",
    "CitationFull",
    "Coauthor",
    "InPlace",
    "Planetoid",
    "Reddit",
    "TUDataset",
]


class InPlace:
    r"""Mixin for PyG data sets that keeps raw and processed files apart.

    Args:
        root (str): Passed on to PyG, which downloads archives into it.
        raw_folder (str or Path): Folder of the raw files; read only.
        processed_folder (str or Path): Folder of the processed files.
        **kwargs (optional): Arguments of the PyG class.
    """

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


class Planetoid(InPlace, pyg.Planetoid):
    """:class:`torch_geometric.datasets.Planetoid`, read in place."""


class Amazon(InPlace, pyg.Amazon):
    """:class:`torch_geometric.datasets.Amazon`, read in place."""


class Coauthor(InPlace, pyg.Coauthor):
    """:class:`torch_geometric.datasets.Coauthor`, read in place."""


class CitationFull(InPlace, pyg.CitationFull):
    """:class:`torch_geometric.datasets.CitationFull`, read in place."""


class TUDataset(InPlace, pyg.TUDataset):
    """:class:`torch_geometric.datasets.TUDataset`, read in place."""


class PPI(InPlace, pyg.PPI):
    """:class:`torch_geometric.datasets.PPI`, read in place."""


class Reddit(InPlace, pyg.Reddit):
    """:class:`torch_geometric.datasets.Reddit`, read in place."""
