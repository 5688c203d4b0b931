"""One door to all data sets."""

# fingerprint: not counted

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch_geometric
from rich.console import Console
from torch_geometric.data import Data, InMemoryDataset

import graphkit
from graphkit.datasets.store.download import DownloadError, download
from graphkit.datasets.store.errors import MissingDataError, cache_error, disk_error
from graphkit.datasets.store.folders import cache_root, search_path, using_cache, visible
from graphkit.datasets.store.in_place import in_place
from graphkit.datasets.store.integrity import check_counts, check_files, check_rows
from graphkit.datasets.store.ranges import check_ranges
from graphkit.datasets.store.registry import DatasetCard, dataset_cards, find_card
from graphkit.guard import DamagedDataError, Translated, reading, reason
from graphkit.tensor_files import read_tensors

__all__ = ["load"]

CHUNK = 1 << 20
PROBE = 1 << 12
SHOWN = 12
TORCH_WRITES = ("PytorchStreamWriter", "unexpected pos", "cannot write file", "file write failed")
"""What PyTorch says, without an error of the system, when it could not write."""


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
        DamagedDataError: If a raw file cannot be read or is not what was published; it is a
            :class:`ValueError`.
        CacheError: If the cache folder cannot be written to, such as a full disk; it is an
            :class:`OSError`.
        ImportError: If the data set needs a package that is not installed.
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
        dataset = card.resolve()(transform=transform, **options)
        # A set on a disk may be too large to be walked through before it is used.
        if isinstance(dataset, InMemoryDataset) and card not in dataset_cards():
            given, dataset.transform = dataset.transform, None
            check_ranges(card.name, None, dataset, card.counts.get("classes"))
            dataset.transform = given
        return dataset
    folder = locate(card, root, download)
    processed = cache_root() / "processed" / card.name / fingerprint(card, folder, options)
    with using_cache():
        if not processed.is_dir():
            build(card, folder, processed, options)
        return reopen(card, folder, processed, options, transform)


def reopen(
    card: DatasetCard,
    folder: Path,
    processed: Path,
    options: dict[str, Any],
    transform: Callable[[Data], Data] | None,
) -> InMemoryDataset:
    """The dataset from its processed files, none of which may run code."""

    def unreadable(error: Exception) -> Exception:
        refused = disk_error(error)
        if refused is not None:
            return cache_error(cache_root(), refused)
        return DamagedDataError(
            f"cannot read the processed files of {card.name!r} in '{processed}': {reason(error)}. "
            "Delete that folder; it is made anew from the raw files."
        )

    try:
        # PyG falls back to a reader that runs what a file says: it gets none that would.
        for path in visible(processed.glob("*.pt")):
            read_tensors(path, mmap=True)
    except DamagedDataError as error:
        raise unreadable(error) from error
    with Translated(unreadable):
        return construct(card, folder, processed, options, transform)


def locate(card: DatasetCard, root: str | os.PathLike[str] | None, fetch: bool) -> Path:
    """The folder with the raw files, after a download if need be."""
    places = search_path(root)
    for base in places:
        with reading(base / card.folder):
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


def raw_files(card: DatasetCard, folder: Path) -> tuple[list[Path], list[Path]]:
    """The files that the loader is known to read, and all whose change it may notice.

    Loaders of other people do not say what they read: for them the second are all files.
    """
    raw = folder / card.raw
    patterns = getattr(card.resolve(), "also_read", None)
    needed = {folder / name for name in card.files}
    if patterns is None:
        others = visible(raw.iterdir()) if raw.is_dir() else []
        return sorted(needed), sorted(needed.union(others))
    known = [pattern.format(**card.arguments) for pattern in patterns]
    files = sorted(needed.union(*(visible(raw.glob(pattern)) for pattern in known)))
    return files, files


def fingerprint(card: DatasetCard, folder: Path, options: dict[str, Any]) -> str:
    """A key that changes with the raw files, the options and the versions."""
    build_options = {key: options[key] for key in card.build_options if key in options}
    versions = (graphkit.__version__, torch_geometric.__version__)
    about = (versions, card.loader, sorted(card.arguments.items()), sorted(build_options.items()))
    digest = hashlib.blake2b(repr(about).encode(), digest_size=12)
    for path in raw_files(card, folder)[1]:
        with reading(path):
            digest.update(f"\n{path.relative_to(folder)} {path.stat().st_size}\n".encode())
            with path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
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
        check_rows(check_files(raw_files(card, folder)[0]), card.arguments.get("name", ""))
        aside = Path(temporary) / "processed"
        with Translated(lambda error: build_error(error, card, folder, Path(temporary))):
            dataset = construct(card, folder, aside, options)
            if card.checked:
                check_counts(card.name, folder, count(dataset), card.counts)
            check_ranges(card.name, folder, dataset, card.counts.get("classes"))
        try:
            os.rename(aside, processed)
        except OSError:
            if not processed.is_dir():
                raise


def build_error(error: Exception, card: DatasetCard, folder: Path, cache: Path) -> Exception:
    """What kept a set from being made: a cache that cannot be written to, or a raw file."""
    written = write_error(error, cache, folder)
    if written is not None:
        return cache_error(cache_root(), written)
    return DamagedDataError(
        f"the files of {card.name!r} in '{folder}' do not fit together ({reason(error)}); one of "
        f"them is damaged: {listed(card.files)}"
    )


def listed(names: Sequence[str]) -> str:
    """Names of files, the first few of many."""
    return ", ".join(names[:SHOWN]) + (" …" if len(names) > SHOWN else "")


def write_error(error: Exception, cache: Path, folder: Path) -> BaseException | None:
    """What kept a build from writing; nothing if it failed for another reason."""
    refused = disk_error(error)
    if refused is not None:
        # A raw file that may not be read has its name in the error.
        return None if str(refused.filename or "").startswith(str(folder)) else refused
    if any(words in str(error) for words in TORCH_WRITES):
        return error
    try:
        with tempfile.TemporaryFile(dir=cache) as file:
            file.write(bytes(PROBE))
    except OSError as full:
        return full
    return None


def construct(
    card: DatasetCard,
    folder: Path,
    processed: Path,
    options: dict[str, Any],
    transform: Callable[[Data], Data] | None = None,
) -> InMemoryDataset:
    """The dataset with its processed files in a given folder."""
    return in_place(card.resolve())(
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
