"""The contract of an adapter, as a pytest class to inherit."""

from __future__ import annotations

import copy
import inspect
import pickle
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data, HeteroData
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GraphConv

from graphkit.testing.asserts import assert_close, assert_no_trace, assert_not_mutated
from graphkit.testing.decorators import needs_cuda
from graphkit.testing.stores import edge_stores, named_tensors, node_stores
from graphkit.testing.suite import Suite, seed_everything


class AdapterSuite(Suite, ABC):
    """The contract of an adapter: anything to :class:`~torch_geometric.data.Data`.

    A test supplies :meth:`make` and :meth:`example`, and :meth:`degenerate` for the smallest
    inputs (one sample, no detection). The adapter's ``schema`` must have

    * ``node`` and ``edge``: what a node is and what an edge means, in words;
    * ``attributes``: name to shape, such as ``{"x": ("N", 64), "edge_index": (2, "E")}``.
      Letters stand for sizes and mean the same size wherever they occur; ``"N"`` is the
      number of nodes, ``"E"`` of edges. In a :class:`~torch_geometric.data.HeteroData` names
      begin with their type: ``"part.x"``, ``"part.on.image.edge_index"``, and ``"N"`` and
      ``"E"`` are counted per type;
    * ``undirected``: whether each edge has its reverse;
    * ``differentiable``: whether ``x`` carries gradients to the inputs.

    Example:
        >>> from types import SimpleNamespace
        >>> class Line(torch.nn.Module):
        ...     schema = SimpleNamespace(
        ...         node="a number", edge="its successor", undirected=False, differentiable=True,
        ...         attributes={"x": ("N", 1), "edge_index": (2, "E")})
        ...     def forward(self, values):
        ...         step = torch.arange(max(len(values) - 1, 0))
        ...         return Data(x=values[:, None], num_nodes=len(values),
        ...                     edge_index=torch.stack([step, step + 1]))
        >>> class TestLine(AdapterSuite):
        ...     def make(self):
        ...         return Line()
        ...     def example(self):
        ...         return (torch.rand(5),)
        ...     def degenerate(self):
        ...         return {"one number": (torch.rand(1),), "nothing": (torch.rand(0),)}
        >>> for name in ("edges", "schema", "degenerate", "trains_a_layer"):
        ...     TestLine.check(name)()
    """

    @abstractmethod
    def make(self) -> nn.Module:
        """Builds the adapter around a fitted method."""

    @abstractmethod
    def example(self) -> tuple[Any, ...]:
        """Arguments of one ordinary call; the same ones each time under the same seed."""

    @abstractmethod
    def degenerate(self) -> dict[str, tuple[Any, ...]]:
        """Arguments of the smallest calls that must still give a valid graph, by name."""

    def call(self, adapter: nn.Module, *args: Any) -> Data | HeteroData:
        """Calls the adapter, with a seeded ``generator`` if it takes one."""
        if "generator" in inspect.signature(adapter.forward).parameters:
            return adapter(*args, generator=torch.Generator().manual_seed(0))
        return adapter(*args)

    def build(self) -> tuple[nn.Module, tuple[Any, ...]]:
        """A seeded adapter and the arguments of an ordinary call."""
        seed_everything()
        return self.make(), self.example()

    def graph(self) -> Data | HeteroData:
        """The graph of an ordinary call."""
        adapter, args = self.build()
        return self.call(adapter, *args)

    def test_valid(self) -> None:
        """A ``Data`` or ``HeteroData`` that PyG finds valid, with an explicit ``num_nodes``."""
        _check_graph(self.graph())

    def test_nodes(self) -> None:
        """``x`` is float32, finite, and has a row per node."""
        graph = self.graph()
        for key, store in node_stores(graph).items():
            assert "x" in store, f"{key}no x"
            assert store.x.dtype == torch.float32, f"{key}x is {store.x.dtype}"
            assert store.x.size(0) == store.num_nodes, f"{key}x has {store.x.size(0)} rows"
            assert store.x.isfinite().all(), f"{key}x is not finite"

    def test_edges(self) -> None:
        """``edge_index`` is int64 and coalesced, and edge attributes have a row per edge."""
        graph = self.graph()
        for key, store in edge_stores(graph).items():
            edges = store.edge_index
            assert edges.dtype == torch.int64, f"{key}edge_index is {edges.dtype}"
            assert store.is_coalesced(), f"{key}edge_index is not sorted or has duplicates"
            for name in ("edge_attr", "edge_weight"):
                rows = store[name].size(0) if name in store else edges.size(1)
                assert rows == edges.size(1), f"{key}{name} has {rows} rows"

    def test_undirected(self) -> None:
        """The graph is undirected exactly if the schema says so."""
        adapter, args = self.build()
        found = self.call(adapter, *args).is_undirected()
        said = self.schema(adapter).undirected
        assert found == said, f"the schema says undirected={said}, the graph is {found}"

    def test_schema(self) -> None:
        """The schema names every attribute, no other, with its shape, and speaks of both."""
        adapter, args = self.build()
        schema = self.schema(adapter)
        for what in ("node", "edge"):
            assert str(getattr(schema, what)).strip(), f"the schema does not say what a {what} is"
        tensors = dict(named_tensors(self.call(adapter, *args)))
        assert set(tensors) == set(schema.attributes), (
            f"in the graph: {sorted(tensors)}; in the schema: {sorted(schema.attributes)}"
        )
        sizes: dict[str, int] = {}
        for name, entry in tensors.items():
            sizes[f"{entry.scope}N"] = entry.num_nodes or 0
            sizes[f"{entry.scope}E"] = entry.num_edges or 0
            shape = [
                sizes.setdefault(f"{entry.scope}{size}" if size in ("N", "E") else str(size), found)
                if isinstance(size, str)
                else size
                for size, found in zip(schema.attributes[name], entry.value.shape, strict=False)
            ]
            assert list(entry.value.shape) == shape, (
                f"{name} has shape {tuple(entry.value.shape)}, not {schema.attributes[name]}"
            )

    def test_deterministic(self) -> None:
        """Two calls give the same graph, bit by bit."""
        adapter, args = self.build()
        first, second = (dict(named_tensors(self.call(adapter, *args))) for _ in range(2))
        for name, (_, value, *_) in first.items():
            assert torch.equal(value, second[name].value), f"two calls give another {name}"

    def test_batches(self) -> None:
        """PyG's :class:`~torch_geometric.loader.DataLoader` joins graphs and parts them again."""
        graphs = [self.graph(), self.graph()]
        batch = next(iter(DataLoader(graphs, batch_size=2)))
        for given, back in zip(graphs, batch.to_data_list(), strict=True):
            found = dict(named_tensors(back))
            for name, (_, value, *_) in named_tensors(given):
                assert_close(found[name].value, value, f"{name} after batching")

    def test_input_not_mutated(self) -> None:
        """The arguments are left as they were."""
        adapter, args = self.build()
        tensors = {f"argument {i}": a for i, a in enumerate(args) if isinstance(a, Tensor)}
        with assert_not_mutated(**tensors):
            self.call(adapter, *args)

    def test_never_trains(self) -> None:
        """A call changes no weight, no buffer, no mode and leaves no hook or gradient."""
        adapter, args = self.build()
        with assert_no_trace(adapter):
            self.call(adapter, *args)
        graded = [name for name, p in adapter.named_parameters() if p.grad is not None]
        assert not graded, f"a call left gradients on {graded}"

    def test_differentiable(self) -> None:
        """``x`` carries a finite, non-zero gradient to the inputs exactly if declared."""
        adapter, args = self.build()
        leaves = [a.clone() if isinstance(a, Tensor) else a for a in args]
        floating = [a for a in leaves if isinstance(a, Tensor) and a.is_floating_point()]
        for leaf in floating:
            leaf.requires_grad_()
        graph = self.call(adapter, *leaves)
        features = [store.x for store in node_stores(graph).values() if store.x.requires_grad]
        if not self.schema(adapter).differentiable:
            assert not features, "x carries a gradient that the schema does not declare"
            return
        assert features, "the schema declares a gradient and x has none"
        total = sum(x.square().sum() for x in features)
        grads = torch.autograd.grad(total, floating, allow_unused=True, materialize_grads=True)
        assert any(g.abs().sum() > 0 for g in grads), "the declared gradient is zero"
        assert all(g.isfinite().all() for g in grads), "the declared gradient is not finite"

    def test_degenerate(self) -> None:
        """The smallest inputs give valid graphs, too."""
        adapter, _ = self.build()
        cases = self.degenerate()
        assert cases, "degenerate() names no case"
        for args in cases.values():
            _check_graph(self.call(adapter, *args))

    def test_trains_a_layer(self) -> None:
        """A PyG layer runs on the graph and gets finite gradients."""
        graph = self.graph()
        if isinstance(graph, HeteroData):
            graph = graph.to_homogeneous()
        layer = GraphConv(graph.x.size(1), 2)
        layer(graph.x.detach(), graph.edge_index).square().mean().backward()
        for name, parameter in layer.named_parameters():
            assert parameter.grad is not None, f"no gradient on {name}"
            assert parameter.grad.isfinite().all(), f"gradient of {name} is not finite"

    def test_copies(self) -> None:
        """A deep copy and an unpickled adapter give the same graph."""
        adapter, args = self.build()
        expected = dict(named_tensors(self.call(adapter, *args)))
        for other in (copy.deepcopy(adapter), pickle.loads(pickle.dumps(adapter))):
            for name, (_, value, *_) in named_tensors(self.call(other, *args)):
                assert torch.equal(value, expected[name].value), f"the copy gives another {name}"

    @needs_cuda
    def test_device(self) -> None:
        """The graph is on the device of the arguments."""
        adapter, args = self.build()
        moved = [a.cuda() if isinstance(a, Tensor) else a for a in args]
        for name, (_, value, *_) in named_tensors(self.call(adapter.cuda(), *moved)):
            assert value.is_cuda, f"{name} is on {value.device}"

    def schema(self, adapter: nn.Module) -> Any:
        """The adapter's declaration of what its graphs hold."""
        return adapter.schema


def _check_graph(graph: Data | HeteroData) -> None:
    assert isinstance(graph, Data | HeteroData), f"the adapter gave a {type(graph).__name__}"
    graph.validate(raise_on_error=True)
    for key, store in node_stores(graph).items():
        assert "num_nodes" in store, f"{key}num_nodes is not set"
