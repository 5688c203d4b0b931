"""PyG's remote backend over a folder: features and edges that stay on disk until they are used."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import EdgeAttr, FeatureStore, GraphStore, TensorAttr
from torch_geometric.data.graph_store import EdgeLayout

from graphkit.catalog import no_method
from graphkit.sampling.disk.folder import (
    as_tensor,
    check_edges,
    name_of,
    open_array,
    read_contents,
)

READ_ONLY = "a graph on disk is read-only; write another folder with graphkit.sampling.write_graph"

UNTYPED = ("_", "_", "_")
"""The type by which attributes of a homogeneous graph's edges go."""


def kind_of(word: Any) -> Any:
    """A type as Python has it: JSON knows lists only."""
    return tuple(word) if isinstance(word, list) else word


@no_method("features of a graph on disk")
class DiskFeatureStore(FeatureStore):
    """The features in a folder, memory-mapped: a batch reads the rows that it needs.

    Attributes of nodes go by their type and name (the type is :obj:`None` in a homogeneous graph);
    those of edges can be read by the edge type, ``("_", "_", "_")`` in a homogeneous graph, with
    the numbers in ``e_id`` as index. Processes that are spawned get the path and not the data.

    Args:
        path (str or Path): The folder.

    Raises:
        ValueError: If a file is damaged or has another size than it should.

    Example:
        >>> import tempfile
        >>> from torch_geometric.datasets import KarateClub
        >>> from graphkit.sampling import open_graph, write_graph
        >>> folder = write_graph(f"{tempfile.mkdtemp()}/karate", KarateClub()[0])
        >>> features, edges = open_graph(folder)
        >>> features.get_tensor(None, "y", index=torch.tensor([0, 33]))
        tensor([1, 0])
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.path = Path(path)
        contents = read_contents(self.path)
        self.arrays: dict[tuple[Any, str], np.ndarray] = {}
        self.node_names: list[tuple[Any, str]] = []
        self.num_nodes = {kind_of(n["type"]): n["num_nodes"] for n in contents["nodes"]}
        for room, entries, size in (
            ("nodes", "nodes", "num_nodes"),
            ("edges", "edges", "num_edges"),
        ):
            for entry in contents[entries]:
                kind = kind_of(entry["type"])
                for name in entry["attrs"]:
                    file = self.path / room / name_of(kind) / f"attr-{name}.npy"
                    key = UNTYPED if room == "edges" and kind is None else kind
                    self.arrays[key, name] = open_array(file, entry[size])
                    if room == "nodes":
                        self.node_names.append((kind, name))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path,)

    def get_all_tensor_attrs(self) -> list[TensorAttr]:
        """The attributes of nodes; PyG's loaders gather all of these."""
        return [TensorAttr(kind, name) for kind, name in self.node_names]

    # The five methods below are what PyG asks a store to fill in.
    def _get_tensor(self, attr: TensorAttr) -> Tensor:
        key = (attr.group_name, attr.attr_name)
        if key not in self.arrays:
            known = ", ".join(f"{name} of {kind}" for kind, name in self.arrays)
            raise KeyError(f"'{self.path}' has no {key[1]} of {key[0]}; it has {known}")
        tensor = as_tensor(self.arrays[key])
        if attr.index is None or (isinstance(attr.index, slice) and attr.index == slice(None)):
            return tensor
        if isinstance(attr.index, slice):
            return tensor[attr.index].clone()
        index = torch.as_tensor(attr.index)
        if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < tensor.size(0):
            raise IndexError(f"rows of {key[1]} go from 0 to {tensor.size(0) - 1}")
        return tensor[index]

    def _get_tensor_size(self, attr: TensorAttr) -> tuple[int, ...]:
        return tuple(self.arrays[attr.group_name, attr.attr_name].shape)

    def _put_tensor(self, tensor: Any, attr: TensorAttr) -> bool:
        raise io.UnsupportedOperation(READ_ONLY)

    def _remove_tensor(self, attr: TensorAttr) -> bool:
        raise io.UnsupportedOperation(READ_ONLY)


@no_method("edges of a graph on disk")
class DiskGraphStore(GraphStore):
    """The edges in a folder, memory-mapped in CSC form, sorted by target.

    Args:
        path (str or Path): The folder.
        check (bool, optional): Read all edges once and look at their ends. (default: :obj:`True`)

    Raises:
        ValueError: If a file is damaged or has another size than it should.

    Example:
        >>> import tempfile
        >>> from torch_geometric.datasets import KarateClub
        >>> from graphkit.sampling import DiskGraphStore, write_graph
        >>> folder = write_graph(f"{tempfile.mkdtemp()}/karate", KarateClub()[0])
        >>> row, colptr, perm = DiskGraphStore(folder).csc()
        >>> row.numel(), colptr.numel(), perm
        (156, 35, None)
    """

    def __init__(self, path: str | Path, check: bool = True) -> None:
        super().__init__()
        self.path = Path(path)
        contents = read_contents(self.path)
        sizes = {kind_of(n["type"]): n["num_nodes"] for n in contents["nodes"]}
        self.edges: dict[Any, tuple[Tensor, Tensor]] = {}
        self.sizes: dict[Any, tuple[int, int]] = {}
        for entry in contents["edges"]:
            kind = kind_of(entry["type"])
            ends = (None, None) if kind is None else (kind[0], kind[2])
            source, target = sizes[ends[0]], sizes[ends[1]]
            folder = self.path / "edges" / name_of(kind)
            colptr = open_array(folder / "colptr.npy", target + 1, "i")
            row = open_array(folder / "row.npy", entry["num_edges"], "i")
            if colptr.ndim != 1 or row.ndim != 1:
                raise ValueError(f"'{folder}' is damaged: colptr.npy or row.npy is no plain list")
            if check:
                check_edges(folder, colptr, row, source)
            self.edges[kind], self.sizes[kind] = (
                (as_tensor(row), as_tensor(colptr)),
                (source, target),
            )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, False)

    def get_all_edge_attrs(self) -> list[EdgeAttr]:
        """One for each type of edges: sorted by target, and by nothing else."""
        return [EdgeAttr(kind, EdgeLayout.CSC, True, size) for kind, size in self.sizes.items()]

    # The three methods below are what PyG asks a store to fill in.
    def _get_edge_index(self, edge_attr: EdgeAttr) -> tuple[Tensor, Tensor] | None:
        return self.edges.get(edge_attr.edge_type) if edge_attr.layout == EdgeLayout.CSC else None

    def _put_edge_index(self, edge_index: Any, edge_attr: EdgeAttr) -> bool:
        raise io.UnsupportedOperation(READ_ONLY)

    def _remove_edge_index(self, edge_attr: EdgeAttr) -> bool:
        raise io.UnsupportedOperation(READ_ONLY)


def open_graph(path: str | Path, check: bool = True) -> tuple[DiskFeatureStore, DiskGraphStore]:
    """A graph that :func:`write_graph` has written, as PyG's loaders and those here take it.

    Args:
        path (str or Path): The folder.
        check (bool, optional): Read all edges once and look at their ends. (default: :obj:`True`)

    Raises:
        FileNotFoundError: If there is no graph.
        ValueError: If a file is damaged.
    """
    return DiskFeatureStore(path), DiskGraphStore(path, check)
