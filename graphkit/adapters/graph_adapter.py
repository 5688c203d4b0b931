"""The contract of adapters: what is not a graph goes in, an ordinary PyG graph comes out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.data import Data, HeteroData

from graphkit.catalog import no_method

__all__ = ["GraphAdapter", "Schema"]

Words = str | Mapping[str, str]
Shape = tuple[int | str, ...]


@no_method("what an adapter declares about its graphs")
@dataclass(frozen=True)
class Schema:
    """What the graphs of an adapter hold; :class:`~graphkit.testing.AdapterSuite` compares.

    In a :class:`~torch_geometric.data.HeteroData` names begin with their type:
    ``"box.x"``, ``"box.in.image.edge_index"``.

    Args:
        node (str or dict): What a node is; in a heterogeneous graph by node type.
        edge (str or dict): What an edge means, from its source to its target; by edge type,
            such as ``"box.in.image"``.
        attributes (dict): Every tensor of the graph and its shape. Letters stand for sizes and
            mean the same size wherever they occur; ``"N"`` is the number of nodes, ``"E"`` of
            edges, each counted per type.
        undirected (bool or dict): Whether each edge has its reverse; by edge type if they differ.
        y (str): What the label ``y`` is, and whose word it is; empty where there is none.
        differentiable (tuple of str): The attributes that carry gradients to the input.

    Example:
        >>> schema = Schema("a pixel", "beside", {"x": ("N", 3), "edge_index": (2, "E")})
        >>> print(schema)
        node        a pixel
        edge        beside (directed)
        x           [N, 3]
        edge_index  [2, E]
        gradients   none
    """

    node: Words
    edge: Words
    attributes: Mapping[str, Shape]
    undirected: bool | Mapping[str, bool] = False
    y: str = ""
    differentiable: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = [name for name in self.differentiable if name not in self.attributes]
        if unknown:
            raise ValueError(f"'differentiable' names {unknown}, not among {[*self.attributes]}")
        labelled = any(name.split(".")[-1] == "y" for name in self.attributes)
        if labelled != bool(self.y):
            raise ValueError(f"'y' is {self.y!r}, and 'attributes' are {[*self.attributes]}")

    def is_undirected(self, kind: str = "") -> bool:
        """Whether edges of a type, such as ``"box.in.image"``, have their reverses."""
        if isinstance(self.undirected, bool):
            return self.undirected
        return self.undirected[kind]

    def __str__(self) -> str:
        rows = []
        for what, words in (("node", self.node), ("edge", self.edge)):
            by_type = {"": words} if isinstance(words, str) else words
            for kind, text in by_type.items():
                if what == "edge":
                    text += f" ({'undirected' if self.is_undirected(kind) else 'directed'})"
                rows.append((f"{what} {kind}".strip(), text))
        for name, shape in self.attributes.items():
            rows.append((name, f"[{', '.join(map(str, shape))}]"))
        rows += [("y is", self.y)] if self.y else []
        rows.append(("gradients", ", ".join(self.differentiable) or "none"))
        width = max(len(left) for left, _ in rows)
        return "\n".join(f"{left:<{width}}  {right}" for left, right in rows)


@no_method("the contract of adapters, no method of its own")
class GraphAdapter(nn.Module, ABC):
    """Base of adapters: the result of a fitted method as an ordinary PyG graph.

    A subclass sets :attr:`schema`, on the class or, where sizes depend on arguments, on the
    instance, and writes :meth:`forward`. Its graphs have ``x`` in float32, a coalesced
    ``edge_index`` in int64, one row of ``edge_attr`` or ``edge_weight`` per edge, an explicit
    ``num_nodes`` and every attribute of the schema also when there is no node or no edge; they
    can be batched and are on the device of the input. Positions for
    :mod:`graphkit.plot` are ``pos``, (row, column) in pixels, ``time``, or ``span``, start and
    end. An adapter wraps a fitted method and never trains one; randomness comes from a
    ``generator`` argument alone. :class:`graphkit.testing.AdapterSuite` is all of this as tests.

    Example:
        >>> import torch
        >>> from graphkit.adapters import GraphAdapter, Schema, chain_edges
        >>> class Frames(GraphAdapter):
        ...     schema = Schema(
        ...         node="a frame", edge="from a frame to the next", differentiable=("x",),
        ...         attributes={"x": ("N", "C"), "time": ("N",), "edge_index": (2, "E")})
        ...     def forward(self, frames):
        ...         time = torch.arange(len(frames), device=frames.device)
        ...         return Data(x=frames.float(), time=time, num_nodes=len(frames),
        ...                     edge_index=chain_edges(torch.zeros_like(time)))
        >>> Frames()(torch.rand(4, 8))
        Data(x=[4, 8], edge_index=[2, 3], time=[4], num_nodes=4)
    """

    schema: Schema
    takes: ClassVar[dict[str, int]] = {}
    """How many dimensions an argument must have, such as ``{"x": 4}`` for a batch of images."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The graph; NumPy arrays are taken as tensors, those of float64 as float32.

        Raises:
            ValueError: If a single sample stands where :attr:`takes` asks for a batch.
        """
        args = tuple(as_tensor(value) for value in args)
        kwargs = {name: as_tensor(value) for name, value in kwargs.items()}
        if self.takes:
            given = {**dict(zip(signature(self.forward).parameters, args, strict=False)), **kwargs}
            for name, dims in self.takes.items():
                value = given.get(name)
                if isinstance(value, Tensor) and value.dim() != dims:
                    hint = f"; of one sample make {name}.unsqueeze(0)"
                    raise ValueError(
                        f"'{name}' must have {dims} dimensions, samples first, got "
                        f"{list(value.shape)}{hint if value.dim() == dims - 1 else ''}"
                    )
        return super().__call__(*args, **kwargs)

    @abstractmethod
    def forward(self, *args: Any, **kwargs: Any) -> Data | HeteroData:
        """The graph."""


def as_tensor(value: Any) -> Any:
    """A NumPy array as a tensor; everything else as it is."""
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.kind not in "biuf":
        raise TypeError(f"an array of {value.dtype} is no tensor of numbers")
    tensor = torch.from_numpy(value)
    return tensor.float() if tensor.dtype == torch.float64 else tensor
