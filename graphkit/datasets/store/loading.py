"""One door to all data sets."""

from __future__ import annotations

import hashlib
import os
import pickle
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch_geometric
from rich.console import Console
from torch_geometric.data import Data, InMemoryDataset

import graphkit
from graphkit.datasets.store.download import DownloadError, download
from graphkit.datasets.store.errors import DamagedDataError, MissingDataError
from graphkit.datasets.store.folders import cache_root, search_path
from graphkit.datasets.store.integrity import check_counts, check_files, check_rows
from graphkit.datasets.store.registry import DatasetCard, find_card

__all__ = ["load"]

BUILD_ERRORS = (AssertionError, EOFError, IndexError, KeyError, OSError, RuntimeError, ValueError)
CHUNK = 1 << 20


def load(
    name: str | DatasetCard,
    root: str | os.PathLike[str] | None = None,
    *,
    transform: Callable[[Data], Data] | None = None,
    download: bool = True,
    **options: Any,
) -> InMemoryDataset:
    r"""Loads a data set, as an ordinary PyG dataset.

    Raw files are read where they lie, under :obj:`root`, and nothing is ever written there.
    Processed files go into the cache folder, under a key made of the contents of the raw files,
    the options and the versions of graphkit and PyG: a changed file or version is noticed.
    Computing the key reads every raw file once, about a second per gigabyte. A folder of
    processed files appears in one step, so that several processes may load at once.

    Args:
        name (str or DatasetCard): A name that ``python -m graphkit data`` lists, regardless of
            case; or, of your own, the path of saved graphs (``.pt``: a :class:`Data`, a list, or
            what :obj:`InMemoryDataset.save` wrote; nothing in it is run), ``module:Class``, or a
            card.
        root (str or Path, optional): Folder of the data sets.
            (default: ``GRAPHKIT_DATA``, else ``data`` in the cache folder)
        transform (callable, optional): Applied at every access. (default: :obj:`None`)
        download (bool, optional): Whether PyG may fetch missing files into the cache;
            ``GRAPHKIT_OFFLINE=1`` forbids it everywhere. (default: :obj:`True`)
        **options (optional): Options of the data set, such as :obj:`split="full"`.

    Shapes:
        - **output:** dataset of :math:`1` or more graphs

    Raises:
        MissingDataError: If files are missing and cannot be fetched; the message names the
            folders, the files and where to get them.
        DamagedDataError: If a raw file cannot be read or is not what was published.
        UnknownDatasetError: If there is no such data set; the message lists the nearest names.
        TypeError: If the data set has no such option.

    Example:
        >>> from graphkit.datasets import load
        >>> data = load("digits", k=8)[0]
        >>> data.num_nodes
        1797
    """
    card = find_card(name) if isinstance(name, str) else name
    card.check_options(options)
    if card.embedded:
        return card.resolve()(transform=transform, **options)
    folder = locate(card, root, download)
    processed = cache_root() / "processed" / card.name / fingerprint(card, folder, options)
    if not processed.is_dir():
        build(card, folder, processed, options)
    try:
        return construct(card, folder, processed, options, transform)
    except (*BUILD_ERRORS, pickle.UnpicklingError) as error:
        raise DamagedDataError(
            f"cannot read the processed files of {card.name!r} in '{processed}': {error}. "
            "Delete that folder; it is made anew from the raw files."
        ) from error


def locate(card: DatasetCard, root: str | os.PathLike[str] | None, fetch: bool) -> Path:
    """The folder with the raw files, after a download if need be."""
    places = search_path(root)
    for base in places:
        if not card.missing(base):
            return base / card.folder
    try:
        if not fetch:
            raise DownloadError("download=False")
        return download(card)
    except DownloadError as error:
        raise MissingDataError(missing_message(card, places, str(error))) from error


def missing_message(card: DatasetCard, places: list[Path], reason: str) -> str:
    """What is missing, where it belongs and how to get it."""
    lines = [f"data set {card.name!r} is not here. It needs {', '.join(card.files)}."]
    for base in places:
        missing = card.missing(base)
        lacks = "all of them" if len(missing) == len(card.files) else ", ".join(missing)
        lines.append(f"  '{base / card.folder}' lacks {lacks}")
    lines += [
        f"How to get it: {card.source}.",
        f"Put the files into '{places[0] / card.folder}', or set GRAPHKIT_DATA to the folder that "
        f"holds '{card.folder}'.",
        f"It could not be downloaded: {reason}.",
    ]
    return "\n".join(lines)


def raw_files(card: DatasetCard, folder: Path) -> list[Path]:
    """The needed files and whatever else lies in the raw folder."""
    needed = {folder / name for name in card.files}
    return sorted(needed | {path for path in (folder / card.raw).iterdir() if path.is_file()})


def fingerprint(card: DatasetCard, folder: Path, options: dict[str, Any]) -> str:
    """A key that changes with the raw files, the options and the versions."""
    build_options = {key: options[key] for key in card.build_options if key in options}
    versions = (graphkit.__version__, torch_geometric.__version__)
    about = (versions, card.loader, sorted(card.arguments.items()), sorted(build_options.items()))
    digest = hashlib.blake2b(repr(about).encode(), digest_size=12)
    for path in raw_files(card, folder):
        try:
            digest.update(f"\n{path.relative_to(folder)} {path.stat().st_size}\n".encode())
            with path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
        except OSError as error:
            raise DamagedDataError(f"cannot read '{path}': {error}") from error
    return digest.hexdigest()


def build(card: DatasetCard, folder: Path, processed: Path, options: dict[str, Any]) -> None:
    """Makes the processed files aside and moves them to their place in one step."""
    processed.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{processed.name}-"
    with (
        Console(stderr=True).status(f"reading {card.name} from {folder} (once) …"),
        tempfile.TemporaryDirectory(prefix=prefix, dir=processed.parent) as temporary,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", DeprecationWarning)
        check_rows(check_files(raw_files(card, folder)), card.arguments.get("name", ""))
        aside = Path(temporary) / "processed"
        try:
            dataset = construct(card, folder, aside, options)
            if card.checked:
                check_counts(card.name, folder, count(dataset), card.counts)
        except DamagedDataError:
            raise
        except BUILD_ERRORS as error:
            names = ", ".join(card.files)
            raise DamagedDataError(
                f"the files of {card.name!r} in '{folder}' do not fit together "
                f"({type(error).__name__}: {error}); one of them is truncated: {names}"
            ) from error
        try:
            os.rename(aside, processed)
        except OSError:
            if not processed.is_dir():
                raise


def construct(
    card: DatasetCard,
    folder: Path,
    processed: Path,
    options: dict[str, Any],
    transform: Callable[[Data], Data] | None = None,
) -> InMemoryDataset:
    """The dataset with its processed files in a given folder."""
    return card.resolve()(
        root=os.fspath(folder),
        raw_folder=folder / card.raw,
        processed_folder=processed,
        transform=transform,
        **card.arguments,
        **options,
    )


def count(dataset: InMemoryDataset) -> dict[str, int]:
    """Numbers of a dataset that are published for it."""
    return {
        "graphs": len(dataset),
        "nodes": sum(data.num_nodes for data in dataset),
        "edges": sum(data.num_edges for data in dataset),
        "features": dataset.num_features,
        "classes": dataset.num_classes,
    }
