"""The cross-validation folds of GIN."""

from __future__ import annotations

import os

import numpy as np

from graphkit.datasets.store.errors import DamagedDataError, MissingDataError
from graphkit.datasets.store.folders import search_path
from graphkit.datasets.store.reading.text import read_table
from graphkit.datasets.store.registry import DatasetCard, find_card

__all__ = ["gin_folds"]

FOLDS = 10
PARTS = ("train", "test")


def gin_folds(
    name: str, root: str | os.PathLike[str] | None = None
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

    Args:
        name (str): Name of a TU data set, such as :obj:`"MUTAG"`.
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
    card = find_card(name)
    if not card.folder.startswith("TUDataset/"):
        raise ValueError(f"'name' must be a TU data set with GIN's folds, got {name!r}")
    files = [f"10fold_idx/{part}_idx-{k}.txt" for k in range(1, FOLDS + 1) for part in PARTS]
    for base in search_path(root):
        folder = base / card.folder
        if all((folder / file).is_file() for file in files):
            indices = [read(os.fspath(folder / file), card) for file in files]
            return check(indices[0::2], indices[1::2], card, os.fspath(folder / "10fold_idx"))
    places = "\n".join(f"  {base / card.folder}" for base in search_path(root))
    raise MissingDataError(
        f"GIN's folds of {card.name!r} are not here. Looked for {files[0]} … {files[-1]} in\n"
        f"{places}\nHow to get them: {card.source}"
    )


def read(path: str, card: DatasetCard) -> np.ndarray:
    """The graph numbers in a file, each once and in range."""
    index = np.sort(read_table(path, 1, whole=True)[:, 0])
    graphs = card.counts["graphs"]
    if len(index) and (index[0] < 0 or index[-1] >= graphs or (np.diff(index) == 0).any()):
        raise DamagedDataError(
            f"'{path}' must hold different numbers from 0 to {graphs - 1}, "
            f"got {len(index)} from {index[0]} to {index[-1]}"
        )
    return index


def check(
    train: list[np.ndarray], test: list[np.ndarray], card: DatasetCard, folder: str
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The folds, after a look at whether they fit together."""
    graphs = np.arange(card.counts["graphs"])
    for k, (training, held) in enumerate(zip(train, test, strict=True), start=1):
        if not np.array_equal(np.sort(np.concatenate([training, held])), graphs):
            raise DamagedDataError(
                f"'{folder}/train_idx-{k}.txt' and 'test_idx-{k}.txt' do not cover the "
                f"{len(graphs)} graphs of {card.name!r} exactly once"
            )
    times = np.bincount(np.concatenate(test), minlength=len(graphs))
    if times.max() > 1:
        raise DamagedDataError(
            f"graph {int(times.argmax())} of {card.name!r} is in {int(times.max())} of the test "
            f"folds 'test_idx-*.txt' in '{folder}'"
        )
    return list(zip(train, test, strict=True))
