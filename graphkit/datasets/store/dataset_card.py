"""What is known about a data set: its files, its counts, where it comes from."""

# fingerprint: not counted

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["DatasetCard"]


@dataclass(frozen=True)
class DatasetCard:
    r"""What is known about a data set.

    Args:
        name (str): Name for :func:`graphkit.datasets.load`.
        about (str): What it is.
        loader (str): Class that reads it, as :obj:`"module:Class"`: any of PyG's, such as
            :obj:`"torch_geometric.datasets:TUDataset"`, or your own
            :class:`~torch_geometric.data.InMemoryDataset`.
        folder (str, optional): Its folder under the data root; empty for sets that come with
            a dependency.
        files (tuple of str, optional): The files it needs, relative to :obj:`folder`.
        raw (str, optional): Folder of the raw files in :obj:`folder`. (default: :obj:`"raw"`)
        arguments (dict, optional): Arguments the loader always gets.
        options (dict, optional): Further keyword arguments the loader understands, each with
            its allowed values, or with :obj:`()` where there is no list of them.
        build_options (tuple of str, optional): Those of them that change the processed files.
        counts (dict, optional): Published numbers of :obj:`graphs`, :obj:`nodes`, directed
            :obj:`edges`, :obj:`features` and :obj:`classes`.
        checked (bool, optional): Whether what is read must agree with :obj:`counts`. Off for
            formats that notice a truncated file by themselves. (default: :obj:`True`)
        probe (str, optional): Address that PyG downloads from.
        source (str, optional): How to get it by hand.
        terms (str, optional): Licence or terms of use.
    """

    name: str
    about: str
    loader: str
    folder: str = ""
    files: tuple[str, ...] = ()
    raw: str = "raw"
    arguments: dict[str, Any] = field(default_factory=dict)
    options: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    build_options: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    checked: bool = True
    probe: str | None = None
    source: str = "comes with graphkit's dependencies"
    terms: str = "none stated"

    @property
    def embedded(self) -> bool:
        """Whether the set needs no file."""
        return not self.files

    def resolve(self) -> type:
        """The class that reads the set."""
        module, _, name = self.loader.partition(":")
        return getattr(importlib.import_module(module), name)

    def check_options(self, options: dict[str, Any]) -> None:
        r"""Refuses options the loader does not understand.

        Args:
            options (dict): Keyword arguments for the loader.

        Raises:
            TypeError: If there is no such option.
            ValueError: If the option has no such value.
        """
        for key, value in options.items():
            if key not in self.options:
                known = ", ".join(["transform", *self.options])
                raise TypeError(f"{self.name!r} has no option '{key}'; it has: {known}")
            allowed = self.options[key]
            if allowed and value not in allowed:
                raise ValueError(
                    f"'{key}' of {self.name!r} must be one of {allowed}, got {value!r}"
                )

    def missing(self, root: Path) -> list[str]:
        """Needed files that are not under ``root / folder``."""
        return [name for name in self.files if not (root / self.folder / name).is_file()]

    def is_in(self, root: Path) -> bool:
        """Whether all needed files are under ``root / folder``, as far as that may be looked at."""
        try:
            return not self.missing(root)
        except OSError:
            return False
