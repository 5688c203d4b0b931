"""Data sets of one's own behind the same door: a saved file, or ``module:Class``."""

# fingerprint: not counted

from __future__ import annotations

import functools
import importlib
import os
import sys
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphkit.datasets.store.dataset_card import DatasetCard
from graphkit.datasets.store.errors import MissingDataError
from graphkit.guard import DamagedDataError, Translated, reading
from graphkit.tensor_files import read_zip

if TYPE_CHECKING:
    from torch_geometric.data import Data, InMemoryDataset

__all__ = ["UserCard", "is_user_data", "saved_graphs", "user_card"]

ENDINGS = (".pt", ".pth")


def is_user_data(name: str) -> bool:
    """Whether a name is a path of saved graphs, or says where to import a data set from."""
    return name.endswith(ENDINGS) or ":" in name


class UserCard(DatasetCard):
    """The card of a data set of one's own: it comes without files that graphkit would look for."""

    def resolve(self) -> Any:
        """What reads the set, with options and ``transform``."""
        if self.name.endswith(ENDINGS):
            return functools.partial(saved_graphs, self.name)
        return functools.partial(as_dataset, imported(self.loader), self.name)

    def check_options(self, options: dict[str, Any]) -> None:
        """Any option may be given: what reads the set knows."""


def user_card(name: str) -> UserCard:
    """The card behind a path or ``module:Class``."""
    return UserCard(name=name, about="a data set of one's own", loader=name, source="your own")


def imported(reference: str) -> Callable[..., Any]:
    """The class or function that ``module:Class`` names; the current folder is looked at last."""
    module, _, name = reference.partition(":")
    here = os.getcwd()
    if not {"", here} & set(sys.path):
        sys.path.append(here)
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ImportError(f"data set '{reference}': {error}") from error


def as_dataset(
    make: Callable[..., Any],
    name: str,
    transform: Callable[[Data], Data] | None = None,
    **options: Any,
) -> InMemoryDataset:
    """A PyG dataset from what a class or function of one's own gives: a dataset, a graph, a list.

    Raises:
        TypeError: If it is none of these.
    """
    from torch_geometric.data import Data, Dataset

    made = make(**options)
    if isinstance(made, Dataset):
        if transform is not None:
            made.transform = transform
        return made
    graphs = [made] if isinstance(made, Data) else made
    if not isinstance(graphs, Sequence) or not all(isinstance(each, Data) for each in graphs):
        raise TypeError(
            f"data set '{name}' must give a Data, a list of Data or a dataset, got "
            f"{type(made).__name__}"
        )
    return collected(list(graphs), name, transform)


def saved_graphs(
    path: str, transform: Callable[[Data], Data] | None = None, **options: Any
) -> InMemoryDataset:
    r"""Graphs that were saved with :obj:`torch.save(data, path)`, for a :class:`Data` or a list, or
    with :obj:`InMemoryDataset.save(graphs, path)`.

    Nothing that the file holds is run: classes other than PyG's graphs are refused.

    Args:
        path (str): The file, ending in ``.pt``.
        transform (callable, optional): Applied at every access. (default: :obj:`None`)

    Raises:
        MissingDataError: If there is no such file.
        DamagedDataError: If it holds something else, or a graph that does not fit together; says
            which and what.
        TypeError: If there are options.
    """
    from torch_geometric.data import Data

    if options:
        raise TypeError(f"saved graphs take no options, got {sorted(options)}")
    file = Path(path).expanduser()
    if not file.is_file():
        raise MissingDataError(f"there is no file '{path}' in '{Path.cwd()}'")
    content = read(file)
    graphs = [content] if isinstance(content, Data) else unpacked(content, file)
    return collected(graphs, path, transform)


def read(file: Path) -> Any:
    """What a file holds, by a reader that knows tensors and PyG's graphs and runs nothing."""
    import torch
    from torch_geometric.data import Data
    from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
    from torch_geometric.data.storage import GlobalStorage

    with reading(file):
        # PyTorch writes checksums and compares none.
        if zipfile.is_zipfile(file):
            read_zip(file)
    graphs: list[Any] = [Data, DataEdgeAttr, DataTensorAttr, GlobalStorage]
    # At its end the block takes away what it was given, PyG's own entries too, were they among it.
    known = torch.serialization.get_safe_globals()
    graphs = [each for each in graphs if each not in known]

    def unreadable(error: Exception) -> DamagedDataError:
        if isinstance(error, OSError):
            return DamagedDataError(f"cannot read '{file}': {error}")
        # PyTorch's own words advise to load unsafely, which this will not say.
        return DamagedDataError(
            f"'{file}' is not what torch.save makes of a Data, or of a list of them, or holds "
            "classes that may run code. Save anew: torch.save(dataset[0], path), or "
            "InMemoryDataset.save(list(dataset), path) for several graphs"
        )

    with (
        Translated(unreadable),
        torch.serialization.safe_globals(graphs),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", UserWarning)
        return torch.load(file, map_location="cpu", weights_only=True)


def unpacked(content: Any, file: Path) -> list[Data]:
    """Graphs from a list of them, or from what PyG keeps of a dataset: storage, slices, class."""
    from torch_geometric.data import Data
    from torch_geometric.data.separate import separate

    if isinstance(content, tuple) and 2 <= len(content) <= 3:
        whole, slices = content[:2]
        whole = Data.from_dict(whole) if isinstance(whole, dict) else whole
        if isinstance(whole, Data) and slices is None:
            return [whole]
        if isinstance(whole, Data) and isinstance(slices, dict) and slices:
            try:
                number = len(next(iter(slices.values()))) - 1
                return [separate(Data, whole, i, slices, decrement=False) for i in range(number)]
            except (IndexError, TypeError, KeyError, ValueError, RuntimeError) as error:
                raise DamagedDataError(f"'{file}': the slices do not fit: {error}") from error
    if isinstance(content, list) and content and all(isinstance(g, Data) for g in content):
        return content
    raise DamagedDataError(
        f"'{file}' holds a {type(content).__name__} and no graph; save a Data, a list of Data, or "
        "with InMemoryDataset.save"
    )


def collected(
    graphs: list[Data], name: str, transform: Callable[[Data], Data] | None
) -> InMemoryDataset:
    """A dataset of these graphs, after a look at whether each fits together."""
    from torch_geometric.data import InMemoryDataset

    from graphkit.datasets.store.ranges import wrong_graph

    for number, graph in enumerate(graphs):
        fault = fault_of(graph) or wrong_graph(graph, None)
        if fault:
            raise DamagedDataError(f"graph {number} of '{name}': {fault}")
    dataset = InMemoryDataset(None, transform)
    dataset.data, dataset.slices = dataset.collate(graphs)
    return dataset


def fault_of(graph: Data) -> str:
    """What is wrong with a graph, or nothing."""
    import torch

    edges, x = graph.edge_index, graph.x
    if not isinstance(edges, torch.Tensor) or edges.dtype != torch.long or edges.dim() != 2:
        return f"'edge_index' must be int64 [2, E], got {shown(edges)}"
    if edges.size(0) != 2:
        return f"'edge_index' must be int64 [2, E], got {shown(edges)}"
    if x is not None and (not isinstance(x, torch.Tensor) or not x.is_floating_point()):
        return f"'x' must be floating point [N, F], got {shown(x)}"
    if x is not None and not x.is_sparse and not x.isfinite().all():
        return "'x' holds NaN or infinite values"
    nodes = graph.num_nodes
    if edges.numel() and (int(edges.min()) < 0 or int(edges.max()) >= (nodes or 0)):
        low, high = int(edges.min()), int(edges.max())
        return f"'edge_index' names nodes {low} to {high}, there are {nodes}"
    return ""


def shown(value: Any) -> str:
    """A tensor's kind and shape, or a type."""
    if hasattr(value, "dtype"):
        return f"{value.dtype} {list(value.shape)}"
    return type(value).__name__
