"""The contract of an adapter, as a pytest class to inherit."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
from abc import ABC, abstractmethod
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.data import Data, HeteroData
from torch_geometric.loader import DataLoader

from graphkit.testing import graph_checks
from graphkit.testing.asserts import (
    assert_close,
    assert_no_trace,
    assert_not_mutated,
    assert_raises_naming,
)
from graphkit.testing.decorators import needs_cuda
from graphkit.testing.stores import edge_stores, named_tensors, node_stores
from graphkit.testing.suite import Suite, seed_everything
from graphkit.testing.trees import clone, map_tensors, named_leaves, same

Graph: TypeAlias = Data | HeteroData


class AdapterSuite(Suite, ABC):
    """The contract of an adapter: anything to :class:`~torch_geometric.data.Data`.

    A test supplies :meth:`make` and :meth:`example`; :meth:`degenerate` for the smallest
    inputs; and :meth:`recovered` for what can be read back from the graph. The adapter's
    ``schema`` is a :class:`graphkit.adapters.Schema`, or has the same fields. Arguments may be
    tensors, and tuples, lists, dicts or data classes with tensors in them.

    Among the graphs of :meth:`degenerate` there must be one with a single node, one with no
    node and one with no edge (of the first node type), and, if the adapter has a number ``k``,
    one with no more than ``k`` nodes. What cannot occur is declined in ``not_claimed``, with the
    reason.

    Example:
        >>> from graphkit.adapters import Schema, chain_edges
        >>> class Line(torch.nn.Module):
        ...     schema = Schema(node="a number", edge="its successor", differentiable=("x",),
        ...                     attributes={"x": ("N", 1), "edge_index": (2, "E")})
        ...     def forward(self, values):
        ...         group = torch.zeros(len(values), dtype=torch.long, device=values.device)
        ...         return Data(x=values[:, None], edge_index=chain_edges(group),
        ...                     num_nodes=len(values))
        >>> class TestLine(AdapterSuite):
        ...     def make(self):
        ...         return Line()
        ...     def example(self):
        ...         return (torch.rand(5),)
        ...     def degenerate(self):
        ...         return {"one number": (torch.rand(1),), "nothing": (torch.rand(0),)}
        ...     def recovered(self, graph, values):
        ...         return {"values": (graph.x[:, 0], values)}
        >>> for name in ("edges", "schema", "degenerate", "recovers", "trains_a_layer"):
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

    @abstractmethod
    def recovered(self, graph: Any, *args: Any) -> dict[str, tuple[Tensor, Tensor]]:
        """By name, what can be read back from a graph, and the same taken from the arguments."""

    def call(self, adapter: nn.Module, *args: Any) -> Graph:
        """Calls the adapter, with a seeded ``generator`` if it takes one."""
        if "generator" in inspect.signature(adapter.forward).parameters:
            return adapter(*args, generator=torch.Generator().manual_seed(0))
        return adapter(*args)

    def build(self) -> tuple[nn.Module, tuple[Any, ...]]:
        """A seeded adapter and the arguments of an ordinary call."""
        seed_everything()
        return self.make(), self.example()

    def graph(self) -> Graph:
        """The graph of an ordinary call."""
        adapter, args = self.build()
        return self.call(adapter, *args)

    def smallest(self) -> dict[str, Graph]:
        """The graphs of the degenerate calls."""
        adapter, _ = self.build()
        return {name: self.call(adapter, *args) for name, args in self.degenerate().items()}

    def schema(self, adapter: nn.Module) -> Any:
        """The adapter's declaration of what its graphs hold."""
        return adapter.schema

    def test_valid(self) -> None:
        """A ``Data`` or ``HeteroData`` that PyG finds valid, with an explicit ``num_nodes``."""
        graph_checks.check_valid(self.graph())

    def test_nodes(self) -> None:
        """``x`` is float32, finite, and has a row per node."""
        graph_checks.check_nodes(self.graph())

    def test_edges(self) -> None:
        """``edge_index`` is int64 and coalesced; edge attributes have a finite row per edge."""
        graph = self.graph()
        graph_checks.check_edges(graph)
        edges = sum(store.edge_index.size(1) for store in edge_stores(graph).values())
        assert edges, "the ordinary graph has no edge"

    def test_undirected(self) -> None:
        """The graph is undirected exactly where the schema says so."""
        adapter, args = self.build()
        graph_checks.check_undirected(self.call(adapter, *args), self.schema(adapter))

    def test_schema(self) -> None:
        """The schema names every attribute, no other, with its shape, and speaks of all."""
        adapter, args = self.build()
        graph_checks.check_schema(self.call(adapter, *args), self.schema(adapter))

    def test_deterministic(self) -> None:
        """Two calls give the same graph, bit by bit, and leave the global generators alone."""
        adapter, args = self.build()
        torch_state, numpy_state = torch.get_rng_state(), repr(np.random.get_state())  # noqa: NPY002
        first, second = (self.call(adapter, *args) for _ in range(2))
        _assert_same(first, second, "two calls give")
        assert torch.equal(torch.get_rng_state(), torch_state), "a call draws from torch's seed"
        assert repr(np.random.get_state()) == numpy_state, "a call draws from numpy's seed"  # noqa: NPY002

    def test_batches(self) -> None:
        """PyG's :class:`~torch_geometric.loader.DataLoader` joins graphs and parts them again.

        Degenerate graphs stand beside ordinary ones.
        """
        graphs = [self.graph(), *self.smallest().values(), self.graph()]
        batch = next(iter(DataLoader(graphs, batch_size=len(graphs))))
        for given, back in zip(graphs, batch.to_data_list(), strict=True):
            graph_checks.check_dtypes(given, back)
            parted = dict(named_tensors(back))
            for name, (_, value, *_) in named_tensors(given):
                assert_close(parted[name].value, value, f"{name} after batching")

    def test_arrays(self) -> None:
        """NumPy arrays in place of tensors give the same graph, or an error asks for tensors."""
        adapter, args = self.build()
        expected = self.call(adapter, *args)
        arrays = [value.detach().numpy() if isinstance(value, Tensor) else value for value in args]
        try:
            graph = self.call(adapter, *arrays)
        except TypeError as error:
            if "tensor" in str(error).lower():
                return
            raise AssertionError(f"the error does not ask for tensors: {error}") from error
        _assert_same(graph, expected, "arrays and tensors give")

    def test_single_sample(self) -> None:
        """Where ``takes`` asks for a batch, a single sample is refused by name."""
        adapter, args = self.build()
        names = list(inspect.signature(adapter.forward).parameters)
        for name in getattr(adapter, "takes", {}):
            single = list(args)
            single[names.index(name)] = args[names.index(name)][0]
            assert_raises_naming(partial(self.call, adapter, *single), name, (ValueError,))

    def test_input_not_mutated(self) -> None:
        """The arguments are left as they were, also inside lists and data classes."""
        adapter, args = self.build()
        with assert_not_mutated(**dict(named_leaves(args))):
            self.call(adapter, *args)

    def test_never_trains(self) -> None:
        """A call changes no weight, no buffer, no mode and leaves no hook or gradient."""
        adapter, args = self.build()
        with assert_no_trace(adapter):
            self.call(adapter, *args)
        graded = [name for name, p in adapter.named_parameters() if p.grad is not None]
        assert not graded, f"a call left gradients on {graded}"

    def test_differentiable(self) -> None:
        """Attributes carry finite, non-zero gradients to the input exactly if declared.

        Without a declaration nothing requires a gradient, although weights and inputs do.
        """
        adapter, args = self.build()
        leaves = clone(args)
        floating = [t for _, t in named_leaves(leaves) if t.is_floating_point()]
        for leaf in floating:
            leaf.requires_grad_()
        tensors = {name: entry.value for name, entry in named_tensors(self.call(adapter, *leaves))}
        declared = set(self.schema(adapter).differentiable)
        carrying = {name for name, value in tensors.items() if value.requires_grad}
        assert carrying == declared, (
            f"gradients on {sorted(carrying)}, declared: {sorted(declared)}"
        )
        for name in declared:
            total = tensors[name].square().sum()
            grads = torch.autograd.grad(
                total, floating, allow_unused=True, materialize_grads=True, retain_graph=True
            )
            assert any(g.abs().sum() > 0 for g in grads), f"the gradient of {name} is zero"
            assert all(g.isfinite().all() for g in grads), f"the gradient of {name} is not finite"

    def test_degenerate(self) -> None:
        """The smallest inputs give graphs of the same schema and types, sound in every part."""
        adapter, args = self.build()
        ordinary, schema = self.call(adapter, *args), self.schema(adapter)
        for name, case in self.degenerate().items():
            try:
                graph = self.call(adapter, *case)
                graph_checks.check_valid(graph)
                graph_checks.check_nodes(graph)
                graph_checks.check_edges(graph)
                graph_checks.check_undirected(graph, schema)
                graph_checks.check_schema(graph, schema)
                graph_checks.check_dtypes(ordinary, graph)
            except (AssertionError, ValueError, RuntimeError, LookupError) as error:
                raise AssertionError(f"case {name!r}: {error}") from error

    def test_single_node(self) -> None:
        """Some degenerate case has a single node of the first type."""
        counts = {name: _first_count(graph) for name, graph in self.smallest().items()}
        assert 1 in counts.values(), f"no case has one node: {counts}"

    def test_no_node(self) -> None:
        """Some degenerate case has no node of the first type."""
        counts = {name: _first_count(graph) for name, graph in self.smallest().items()}
        assert 0 in counts.values(), f"no case has no node: {counts}"

    def test_no_edge(self) -> None:
        """Some degenerate case has nodes and no edge."""
        bare = [
            name
            for name, graph in self.smallest().items()
            if _first_count(graph)
            and not any(s.edge_index.numel() for s in edge_stores(graph).values())
        ]
        assert bare, "no case has nodes and no edge"

    def test_large_k(self) -> None:
        """If the adapter has a number ``k``, some case with nodes has no more than that."""
        adapter, _ = self.build()
        k = getattr(adapter, "k", None)
        counts = {name: _first_count(graph) for name, graph in self.smallest().items()}
        assert k is None or any(1 < count <= k for count in counts.values()), f"{k=}: {counts}"

    def test_trains_a_layer(self) -> None:
        """PyG layers train on the graph: finite gradients, a falling loss."""
        losses = graph_checks.train_layers(self.graph())
        assert losses[-1] < losses[0], f"the loss does not fall: {losses}"

    def test_recovers(self) -> None:
        """What :meth:`recovered` reads back from the graph is what went in."""
        adapter, args = self.build()
        pairs = self.recovered(self.call(adapter, *args), *args)
        assert pairs, "recovered() reads nothing back"
        for name, (read_back, expected) in pairs.items():
            assert_close(read_back, expected, f"{name}, read back,")

    def test_round_trip(self) -> None:
        """PyG's dictionary of a graph survives a file, read with ``weights_only``."""
        graph = self.graph()
        plain = graph.clone().apply(lambda tensor: tensor.detach())
        buffer = io.BytesIO()
        torch.save(plain.to_dict(), buffer)
        buffer.seek(0)
        back = type(plain).from_dict(torch.load(buffer, weights_only=True))
        _assert_same(plain, back, "a file gives")

    def test_copies(self) -> None:
        """A deep copy and an unpickled adapter give the same graph."""
        adapter, args = self.build()
        expected = self.call(adapter, *args)
        for other in (copy.deepcopy(adapter), pickle.loads(pickle.dumps(adapter))):
            _assert_same(expected, self.call(other, *args), "the copy gives")

    def test_follows_device(self) -> None:
        """Tensors are made on the device of the arguments, not on the default device."""
        adapter, args = self.build()
        expected = self.call(adapter, *args)
        with torch.device("meta"):
            graph = self.call(adapter, *args)
        for name, (_, value, *_) in named_tensors(graph):
            assert value.device.type == "cpu", f"{name} is on the default device"
        _assert_same(expected, graph, "another default device gives")

    @needs_cuda
    def test_cuda(self) -> None:
        """The graph is on the GPU if the arguments are, and close to the one on the CPU."""
        adapter, args = self.build()
        expected = dict(named_tensors(self.call(adapter, *args)))
        moved = map_tensors(Tensor.cuda, args)
        for name, (_, value, *_) in named_tensors(self.call(adapter.cuda(), *moved)):
            assert value.is_cuda, f"{name} is on {value.device}"
            assert value.shape == expected[name].value.shape, f"{name} has another shape"


def _first_count(graph: Graph) -> int:
    return next(iter(node_stores(graph).values())).num_nodes


def _assert_same(expected: Graph, actual: Graph, what: str) -> None:
    first, second = dict(named_tensors(expected)), dict(named_tensors(actual))
    assert set(first) == set(second), f"{what} {sorted(second)}, not {sorted(first)}"
    for name, entry in first.items():
        assert same(entry.value, second[name].value), f"{what} another {name}"
