"""Takes over the sorted views that a ``torch_geometric.EdgeIndex`` has cached."""

from __future__ import annotations

from torch import Tensor
from torch_geometric import EdgeIndex

from graphkit.ops.layout.order import Order, index_dtype
from graphkit.ops.layout.rows import Rows


def adopt(edge_index: EdgeIndex, plain: Tensor) -> None:
    """Lets the layouts of ``plain`` be the CSR and CSC views of a sorted ``edge_index``.

    Unsorted ones carry no views and are left alone, as are those of unknown size.
    """
    if not edge_index.is_sorted:
        return
    num_rows, num_cols = edge_index.sparse_size()
    if num_cols is not None:
        _keep(plain, 1, num_cols, edge_index)
    if num_rows is not None:
        _keep(plain, 0, num_rows, edge_index)


def _keep(plain: Tensor, row: int, size: int, edge_index: EdgeIndex) -> None:
    def build() -> Order:
        (indptr, _), perm = edge_index.get_csr() if row == 0 else edge_index.get_csc()
        dtype = index_dtype(plain.size(1), size)
        return Order(
            indptr.to(dtype, copy=True), None if perm is None else perm.to(dtype, copy=True)
        )

    rows = Rows(plain, row, size, f"edge_index[{row}]")
    rows.remember(("order", size), build)
