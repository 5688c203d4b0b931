"""The cross-validation folds of GIN."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from graphkit.datasets.store.errors import MissingDataError
from graphkit.datasets.store.folders import search_path
from graphkit.datasets.store.registry import DatasetCard, find_card
from graphkit.datasets.store.user_data import is_user_data
from graphkit.guard import DamagedDataError
from graphkit.text_files import read_table

__all__ = ["gin_folds"]

FOLDS = 10
PARTS = ("train", "test")


def gin_folds(
    name: str | os.PathLike[str] | DatasetCard, root: str | os.PathLike[str] | None = None
) -> list[tuple[np.ndarray, np.ndarray]]:
    r"""The ten folds of the `"How Powerful are Graph Neural Networks?"
    <https://arxiv.org/abs/1810.00826>`_ paper for a set of graphs, as its authors published them.

    .. math::
        \mathrm{train}_k \cup \mathrm{test}_k = \{0, \ldots, n - 1\}, \quad
        \mathrm{train}_k \cap \mathrm{test}_k = \emptyset, \quad
        \mathrm{test}_k \cap \mathrm{test}_l = \emptyset \; (k \neq l)

    The published test folds have :math:`\lfloor n / 10 \rfloor` graphs each, so that up to nine
    graphs are never tested (8 of MUTAG, 3 of PROTEINS), and they are not stratified by class in
    the order of the TU files.

    Any set of graphs may have folds in the same layout: files :obj:`10fold_idx/train_idx-1.txt`
    to :obj:`10fold_idx/test_idx-10.txt` with one graph's number per line, counted from 0.

    Args:
        name (str, Path or DatasetCard): Name of a set of graphs, such as :obj:`"MUTAG"`; of your
            own its card, the folder that holds :obj:`10fold_idx`, or saved graphs (``.pt``) that
            lie beside it.
        root (str or Path, optional): Folder of the data sets.
            (default: that of :func:`graphkit.datasets.data_root`)

    Shapes:
        - **output:** ten pairs of sorted indices: training :math:`(n_k)`, test :math:`(n - n_k)`

    Raises:
        MissingDataError: If a file of the folds is missing.
        DamagedDataError: If a file cannot be read, a fold does not cover the graphs exactly
            once, or two test folds overlap; the message names the file.
        ValueError: If :obj:`name` is no set of graphs.

    Example:
        .. code-block:: python

            dataset = load("MUTAG")
            for train, test in gin_folds("MUTAG"):
                train_graphs, test_graphs = dataset[train], dataset[test]
    """
    title, folders, graphs, source = whereabouts(name, root)
    files = [f"10fold_idx/{part}_idx-{k}.txt" for k in range(1, FOLDS + 1) for part in PARTS]
    for folder in folders:
        if all((folder / file).is_file() for file in files):
            # A set that states no number of graphs has as many as are in its first fold.
            total = graphs
            if total is None:
                total = sum(len(read(os.fspath(folder / file))) for file in files[:2])
            lists = [read(os.fspath(folder / file), total) for file in files]
            return check(lists[0::2], lists[1::2], total, title, os.fspath(folder / "10fold_idx"))
    places = "\n".join(f"  {folder}" for folder in folders)
    raise MissingDataError(
        f"GIN's folds of {title!r} are not here. Looked for {files[0]} … {files[-1]} in\n"
        f"{places}\nHow to get them: {source}"
    )


def whereabouts(
    name: str | os.PathLike[str] | DatasetCard, root: str | os.PathLike[str] | None
) -> tuple[str, list[Path], int | None, str]:
    """What a set is called, where its folds may lie, how many graphs it has, how to get them."""
    advice = "write one graph's number per line, counted from 0"
    if not isinstance(name, DatasetCard):
        path = Path(name).expanduser()
        if is_user_data(str(name)):
            return str(name), [path.parent], None, advice
        # A plain word is a name, also where a folder happens to be called so.
        if path.is_dir() and (not isinstance(name, str) or os.sep in name):
            return str(path), [path], None, advice
    card = name if isinstance(name, DatasetCard) else find_card(str(name))
    if card.embedded or ("nodes" in card.counts and "graphs" not in card.counts):
        raise ValueError(f"'name' must be a set of graphs with GIN's folds, got {card.name!r}")
    folders = [base / card.folder for base in search_path(root)]
    return card.name, folders, card.counts.get("graphs"), card.source


def read(path: str, graphs: int | None = None) -> np.ndarray:
    """The graph numbers in a file, each once and, where their number is known, in range."""
    index = np.sort(read_table(path, 1, whole=True)[:, 0])
    if graphs is None or not len(index):
        return index
    if index[0] < 0 or index[-1] >= graphs or (np.diff(index) == 0).any():
        raise DamagedDataError(
            f"'{path}' must hold different numbers from 0 to {graphs - 1}, "
            f"got {len(index)} from {index[0]} to {index[-1]}"
        )
    return index


def check(
    train: list[np.ndarray], test: list[np.ndarray], total: int, title: str, folder: str
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The folds, after a look at whether they fit together."""
    graphs = np.arange(total)
    for k, (training, held) in enumerate(zip(train, test, strict=True), start=1):
        if not np.array_equal(np.sort(np.concatenate([training, held])), graphs):
            raise DamagedDataError(
                f"'{folder}/train_idx-{k}.txt' and 'test_idx-{k}.txt' do not cover the "
                f"{len(graphs)} graphs of {title!r} exactly once"
            )
    times = np.bincount(np.concatenate(test), minlength=len(graphs))
    if times.max() > 1:
        raise DamagedDataError(
            f"graph {int(times.argmax())} of {title!r} is in {int(times.max())} of the test "
            f"folds 'test_idx-*.txt' in '{folder}'"
        )
    return list(zip(train, test, strict=True))
