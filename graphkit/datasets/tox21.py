"""Tox21: molecules with twelve toxicity assays, read from the published table."""

from __future__ import annotations

import csv
import math
import os
from typing import Any

import torch
from torch_geometric.data import Data, InMemoryDataset, download_url
from torch_geometric.utils import from_smiles

from graphkit.datasets.store.in_place import InPlace
from graphkit.datasets.store.reading.archives import read_gzip
from graphkit.guard import reading
from graphkit.text_files import decode, number_of

__all__ = ["Tox21"]

TASKS = 12


class Tox21(InPlace, InMemoryDataset):
    r"""The toxicity assays of the `"MoleculeNet: A Benchmark for Molecular Machine Learning"
    <https://arxiv.org/abs/1703.00564>`_ paper. Atoms are nodes, bonds are edges.

    PyG's own ``MoleculeNet`` wants the table unpacked; this one reads it as it is published.
    Molecules that rdkit cannot parse are left out (8 of 8,014), and their SMILES strings are
    kept in no graph.

    .. math::
        y_{t} \in \{0, 1, \mathrm{NaN}\}, \quad t = 1, \ldots, 12

    Args:
        root (str): Folder of the data set.
        raw_folder (str or Path): Folder of :obj:`tox21.csv.gz`.
        processed_folder (str or Path): Folder of the processed file.
        transform (callable, optional): Applied at every access. (default: :obj:`None`)

    Shapes:
        - **output:** per molecule :obj:`x` :math:`(|\mathcal{V}|, 9)` and :obj:`edge_attr`
          :math:`(|\mathcal{E}|, 3)` of integers, as :func:`torch_geometric.utils.from_smiles`
          gives them, :obj:`y` :math:`(1, 12)` with NaN where an assay was not made

    Raises:
        ImportError: If rdkit is missing when the table is first read.
        DamagedDataError: If the table is not what was published.

    Example:
        .. code-block:: python

            from graphkit.datasets import load

            dataset = load("Tox21")
    """

    also_read = ()
    url = "https://deepchemdata.s3-us-west-1.amazonaws.com/datasets/tox21.csv.gz"

    def __init__(self, root: str | os.PathLike[str], **kwargs: Any) -> None:
        super().__init__(root, **kwargs)
        self.load(self.processed_paths[0])

    @property
    def raw_file_names(self) -> str:
        return "tox21.csv.gz"

    @property
    def processed_file_names(self) -> str:
        return "data.pt"

    def download(self) -> None:
        download_url(self.url, self.raw_dir)

    def process(self) -> None:
        graphs = []
        try:
            for line, row in enumerate(read_rows(self.raw_paths[0]), 2):
                with reading(self.raw_paths[0], f"row {line}"):
                    data = from_smiles(row[-1])
                    data.y = torch.tensor([[label(word) for word in row[:TASKS]]])
                    graphs.append(data)
        except ImportError as error:
            raise ImportError(
                'Tox21 needs rdkit to read molecules: pip install "graphkit[molecules]"'
            ) from error
        self.save([data for data in graphs if keep(data)], self.processed_paths[0])


def read_rows(path: str | os.PathLike[str]) -> list[list[str]]:
    """The rows of the table: twelve labels, a number, a SMILES string."""
    content = read_gzip(path)
    with reading(path):
        rows = [row for row in csv.reader(decode(content).split("\n"), strict=True) if row]
        if not rows:
            raise ValueError("it is empty")
        header, *rows = rows
        columns = [*header[TASKS:], *{len(row) for row in rows}]
        if columns != ["mol_id", "smiles", TASKS + 2]:
            raise ValueError(f"expected {TASKS} labels, 'mol_id' and 'smiles', got {columns}")
        return rows


def label(word: str) -> float:
    """Whether an assay was positive; NaN where it was not made."""
    if not word.strip():
        return math.nan
    if number_of(word.strip()) not in (0, 1):
        raise ValueError(f"could not convert {word[:40]!r} to a label, which is 0, 1 or nothing")
    return float(word)


def keep(data: Data) -> bool:
    """Whether rdkit could read the molecule."""
    return bool(data.num_nodes)
