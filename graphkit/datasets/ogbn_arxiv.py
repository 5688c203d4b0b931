"""ogbn-arxiv, read from the files that the Open Graph Benchmark publishes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset, download_url, extract_zip
from torch_geometric.utils import index_to_mask, to_undirected

from graphkit.datasets.store.in_place import InPlace
from graphkit.datasets.store.reading.archives import read_gzip
from graphkit.guard import DamagedDataError, reading
from graphkit.text_files import decode, table_of

__all__ = ["OGBNArxiv"]

PARTS = {"train_mask": "train", "val_mask": "valid", "test_mask": "test"}


class OGBNArxiv(InPlace, InMemoryDataset):
    r"""The citation graph of the `"Open Graph Benchmark: Datasets for Machine Learning on Graphs"
    <https://arxiv.org/abs/2005.00687>`_ paper, 169,343 papers in 40 classes, split by year.

    It reads ogb's files without ogb, whose own loader fails since torch 2.6. Unlike there,
    :obj:`y` has one dimension and the split comes as masks; :meth:`get_idx_split` is ogb's.

    .. math::
        (j, i) \in \mathcal{E} \iff \text{paper } j \text{ cites paper } i

    Args:
        root (str): Folder that an archive is downloaded into.
        raw_folder (str or Path): Folder of :obj:`edge.csv.gz`, :obj:`node-feat.csv.gz` and so on;
            the split is in :obj:`split/time` next to it.
        processed_folder (str or Path): Folder of the processed file.
        to_undirected (bool, optional): Whether to add the reverse of every edge.
            (default: :obj:`False`)
        transform (callable, optional): Applied at every access. (default: :obj:`None`)

    Shapes:
        - **output:** :obj:`x` :math:`(|\mathcal{V}|, 128)`, :obj:`edge_index`
          :math:`(2, |\mathcal{E}|)`, :obj:`y` and masks :math:`(|\mathcal{V}|)`,
          :obj:`node_year` :math:`(|\mathcal{V}|, 1)`

    Raises:
        DamagedDataError: If a file cannot be read or does not fit the others.

    Example:
        .. code-block:: python

            from graphkit.datasets import load

            data = load("ogbn-arxiv", to_undirected=True)[0]
    """

    also_read = ()
    url = "http://snap.stanford.edu/ogb/data/nodeproppred/arxiv.zip"

    def __init__(
        self,
        root: str,
        *,
        raw_folder: str | os.PathLike[str],
        processed_folder: str | os.PathLike[str],
        to_undirected: bool = False,
        **kwargs: Any,
    ) -> None:
        self.to_undirected = to_undirected
        super().__init__(root, raw_folder=raw_folder, processed_folder=processed_folder, **kwargs)
        self.load(self.processed_paths[0])

    @property
    def raw_file_names(self) -> list[str]:
        names = ["edge", "node-feat", "node-label", "node_year", "num-node-list", "num-edge-list"]
        splits = [f"../split/time/{part}.csv.gz" for part in PARTS.values()]
        return [f"{name}.csv.gz" for name in names] + splits

    @property
    def processed_file_names(self) -> str:
        return "data.pt"

    def download(self) -> None:
        archive = download_url(self.url, self.root)
        extract_zip(archive, self.root)
        for folder in ("raw", "split"):
            target = Path(self.raw_dir).parent / folder
            shutil.copytree(Path(self.root) / "arxiv" / folder, target, dirs_exist_ok=True)

    def process(self) -> None:
        num_nodes = self.size("num-node-list")
        edge_index = self.table("edge", np.int64, self.size("num-edge-list"), 2).t().contiguous()
        self.check_index("edge", edge_index, num_nodes)
        if self.to_undirected:
            edge_index = to_undirected(edge_index, num_nodes=num_nodes)
        data = Data(
            x=self.table("node-feat", np.float32, num_nodes, None),
            edge_index=edge_index,
            y=self.table("node-label", np.int64, num_nodes, 1).view(-1),
            node_year=self.table("node_year", np.int64, num_nodes, 1),
            num_nodes=num_nodes,
        )
        seen = torch.zeros(num_nodes, dtype=torch.bool)
        for mask, part in PARTS.items():
            name = f"../split/time/{part}"
            index = self.table(name, np.int64, None, 1).view(-1)
            self.check_index(name, index, num_nodes)
            data[mask] = index_to_mask(index, size=num_nodes)
            if (seen & data[mask]).any():
                raise DamagedDataError(f"'{self.path(name)}' repeats nodes of another part")
            seen |= data[mask]
        self.save([data], self.processed_paths[0])

    def path(self, name: str) -> str:
        """Where a table lies."""
        return os.path.normpath(os.path.join(self.raw_dir, f"{name}.csv.gz"))

    def size(self, name: str) -> int:
        """The one number in a table."""
        return int(self.table(name, np.int64, 1, 1))

    def table(self, name: str, dtype: Any, rows: int | None, columns: int | None) -> Tensor:
        """A table of numbers, of the given size where one is given."""
        path = self.path(name)
        content = read_gzip(path)
        with reading(path):
            values = table_of(decode(content), whole=dtype is np.int64, finite=False).astype(dtype)
        wanted = (values.shape[0] if rows is None else rows, columns or values.shape[1])
        if values.shape != wanted:
            raise DamagedDataError(f"'{path}' holds {values.shape} numbers, expected {wanted}")
        if not np.isfinite(values).all():
            raise DamagedDataError(f"'{path}' holds values that are not finite")
        return torch.from_numpy(values)

    def check_index(self, name: str, index: Tensor, num_nodes: int) -> None:
        """Raises unless all values are nodes."""
        if index.numel() and (int(index.min()) < 0 or int(index.max()) >= num_nodes):
            raise DamagedDataError(
                f"'{self.path(name)}' holds nodes from {int(index.min())} to {int(index.max())}, "
                f"there are {num_nodes}"
            )

    def get_idx_split(self) -> dict[str, Tensor]:
        """Node indices of the parts :obj:`"train"`, :obj:`"valid"` and :obj:`"test"`, as in ogb."""
        data = self.get(0)
        return {part: data[mask].nonzero().view(-1) for mask, part in PARTS.items()}
