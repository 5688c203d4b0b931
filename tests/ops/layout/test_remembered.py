"""Edge tensors reused, sliced, written to, resized and freed at random, against no memory at all.

Whatever happened to a tensor before, an op or layer must give what it gives for a fresh copy of
it on the reference backend.
"""

from __future__ import annotations

import gc

import pytest
import torch
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from torch import Tensor
from torch_geometric import EdgeIndex

from graphkit import nn, ops
from graphkit.ops.layout import memo

NODES = 5
BACKENDS = ("auto", "torch", "reference")
EXAMPLES = settings(
    max_examples=40, stateful_step_count=30, deadline=None, derandomize=True, database=None
)


def _values(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)


def _paths(edges: Tensor, extra: int) -> dict[int, Tensor]:
    """Every edge, walked there and back, as a path of three nodes."""
    return {3: torch.stack([edges[0], edges[1], edges[0]], 1)}


def _layers() -> dict[str, torch.nn.Module]:
    torch.manual_seed(0)
    layers = {
        "FusedGATConv": nn.FusedGATConv(4, 2, heads=2),
        "FactorConv": nn.FactorConv(4, 4, num_factors=2),
        "SPAGANConv": nn.SPAGANConv(4, 2, heads=2),
        "TripleConv": nn.TripleConv(4, 4, 3, edge_channels=2, pooling="mean"),
    }
    return {name: layer.double().eval() for name, layer in layers.items()}


LAYERS = _layers()
CALLS = {
    "spmm": lambda e, n: (ops.spmm(e, v := _values(e.size(1), 2), x := _values(n, 2, 3), n), v, x),
    "sddmm": lambda e, n: (ops.sddmm(e, x := _values(n, 3), y := _values(n, 3)), x, y),
    "edge_softmax": lambda e, n: (ops.edge_softmax(e, s := _values(e.size(1), 2), n), s),
    "gat_attention": lambda e, n: (
        ops.gat_attention(e, x := _values(n, 2, 3), s := _values(n, 2), d := _values(n, 2)),
        *(x, s, d),
    ),
    "segment_reduce": lambda e, n: (ops.segment_reduce(x := _values(e.size(1), 2), e[1], n), x),
    "segment_max": lambda e, n: (ops.segment_reduce(x := _values(e.size(1)), e[0], n, "max"), x),
    "segment_softmax": lambda e, n: (ops.segment_softmax(x := _values(e.size(1), 2), e[1], n), x),
    "gather": lambda e, n: (ops.gather(x := _values(n, 2), e[0]), x),
    "FusedGATConv": lambda e, n: (LAYERS["FusedGATConv"](x := _values(n, 4), e), x),
    "FactorConv": lambda e, n: (LAYERS["FactorConv"](x := _values(n, 4), e), x),
    "SPAGANConv": lambda e, n: (LAYERS["SPAGANConv"](x := _values(n, 4), e, _paths(e, n)), x),
    "TripleConv": lambda e, n: (
        LAYERS["TripleConv"](x := _values(n, 4), e, a := _values(e.size(1), 2))[0],
        *(x, a),
    ),
}


def _run(name: str, edges: Tensor, size: int) -> list[Tensor]:
    """The output and the gradients of all inputs."""
    out, *inputs = CALLS[name](edges, size)
    weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)
    grads = torch.autograd.grad((out * weight).sum(), inputs, allow_unused=True)
    return [out.detach(), *(grad for grad in grads if grad is not None)]


class Edges(RuleBasedStateMachine):
    """A pool of edge tensors, most of them views of each other, and what was asked about them."""

    def __init__(self) -> None:
        super().__init__()
        self.pool: list[Tensor] = []
        self.asked: list[tuple[Tensor, int, int, int, str]] = []

    numbers = st.integers(0, 2**16)
    filled = precondition(lambda self: bool(self.pool))

    def keep(self, table: Tensor) -> None:
        """At most four tensors, so that every one is used again and again."""
        self.pool = [*self.pool[-3:], table]
        self.asked = [question for question in self.asked if self.holds(question[0])]

    def holds(self, table: Tensor) -> bool:
        return any(table is other for other in self.pool)

    def pick(self, number: int) -> Tensor:
        return self.pool[number % len(self.pool)]

    def ask(self, question, backend: str = "auto", wrapped: bool = False) -> None:
        """An op or layer on two rows of a table, side by side or not."""
        table, first, second, size, name = question
        edges = table[first : second + 1 : second - first]
        if edges.size(0) < 2:
            return
        plain = name.startswith("segment") or name == "gather" or not edges.is_contiguous()
        with ops.backend(backend):
            results = _run(name, EdgeIndex(edges) if wrapped and not plain else edges, size)
        with ops.backend("reference"):
            expected = _run(name, edges.clone(), size)
        for result, value in zip(results, expected, strict=True):
            torch.testing.assert_close(result, value)

    def ask_again(self) -> None:
        for question in self.asked[-6:]:
            self.ask(question)

    @filled
    @rule(
        number=numbers,
        questions=st.lists(
            st.tuples(
                st.sampled_from([(0, 1), (0, 2), (1, 2)]),
                st.integers(NODES, NODES + 2),
                st.sampled_from(sorted(CALLS)),
            ),
            min_size=1,
            max_size=6,
        ),
        backend=st.sampled_from(BACKENDS),
        wrapped=st.booleans(),
    )
    def call(self, number, questions, backend, wrapped) -> None:
        for rows, size, name in questions:
            self.asked.append((self.pick(number), *rows, size, name))
            self.ask(self.asked[-1], backend, wrapped)

    @filled
    @rule(number=numbers, name=st.sampled_from(sorted(CALLS)))
    def call_without_nodes(self, number: int, name: str) -> None:
        """No edges among no nodes: what is kept with them must not serve larger graphs."""
        edges = self.pick(number)[:2, :0]
        if edges.size(0) == 2:
            assert _run(name, edges, 0)[0].numel() == 0

    @rule(rows=st.integers(2, 4), count=st.integers(0, 6), seed=numbers, wide=st.booleans())
    def make(self, rows: int, count: int, seed: int, wide: bool) -> None:
        generator = torch.Generator().manual_seed(seed)
        table = torch.randint(0, NODES, (rows, count), generator=generator)
        self.keep(table if wide else table.int())

    @rule(count=st.integers(2, 6), seed=numbers)
    def make_columns(self, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.keep(torch.randint(0, NODES, (count, 2), generator=generator).t())

    @filled
    @rule(number=numbers, start=st.integers(0, 3), stop=st.integers(0, 6), step=st.integers(1, 2))
    def view_columns(self, number: int, start: int, stop: int, step: int) -> None:
        self.keep(self.pick(number)[:, start:stop:step])

    @filled
    @rule(number=numbers, how=st.sampled_from(["t", "detach", "expand", "strided", "inference"]))
    def view_otherwise(self, number: int, how: str) -> None:
        table = self.pick(number)
        if how == "t":
            self.keep(table.t())
        elif how == "detach":
            self.keep(table.detach())
        elif how == "expand" and table.size(0):
            self.keep(table[:1].expand(2, -1))
        elif how == "strided" and table.is_contiguous() and table.numel() >= 4:
            self.keep(table.as_strided((2, 3), (1, 1)))
        elif how == "inference":
            with torch.inference_mode():
                self.keep(table[-2:])

    @filled
    @rule(number=numbers, seed=numbers, how=st.sampled_from(["all", "one", "row", "inference"]))
    def write(self, number: int, seed: int, how: str) -> None:
        table = self.pick(number)
        if table.numel() == 0 or 0 in table.stride():
            return
        generator = torch.Generator().manual_seed(seed)
        if how == "all":
            table.random_(0, NODES, generator=generator)
        elif how == "one":
            table[seed % table.size(0), seed % table.size(1)] = seed % NODES
        elif how == "row":
            table[seed % table.size(0)].fill_(seed % NODES)
        else:
            with torch.inference_mode():
                table[0].add_(1).remainder_(NODES)
        self.ask_again()

    @filled
    @rule(number=numbers, count=st.integers(0, 9), how=st.sampled_from(["resize_", "set_", "data"]))
    def move(self, number: int, count: int, how: str) -> None:
        """Other memory, or another size, behind the same tensor object."""
        table = self.pick(number)
        generator = torch.Generator().manual_seed(number)
        fresh = torch.randint(0, NODES, (2, count), generator=generator, dtype=table.dtype)
        if how == "resize_" and table.is_contiguous():
            table.resize_(2, count).copy_(fresh)
        elif how == "set_":
            table.set_(fresh)
        elif how == "data":
            table.data = fresh
        self.ask_again()

    @filled
    @rule(number=numbers)
    def transpose_in_place(self, number: int) -> None:
        self.pick(number).t_()
        self.ask_again()

    @filled
    @rule(number=numbers)
    def free(self, number: int) -> None:
        """Gives memory, addresses and identities back, for the next tensor to get."""
        del self.pool[number % len(self.pool)]
        self.asked = [question for question in self.asked if self.holds(question[0])]
        gc.collect(0)

    @invariant()
    def nothing_dead_is_kept(self) -> None:
        assert all(known.reference() is not None for known in memo._KNOWN.values())


def test_memory_is_never_stale():
    run_state_machine_as_test(Edges, settings=EXAMPLES)


def without_row_stride(tensor: Tensor, key: object) -> tuple[object, ...]:
    """Rows told apart by their own start and step alone, as keys once did."""
    return tensor.data_ptr(), tensor.size(-1), tensor.stride(-1), key


def without_nodes(tensor: Tensor, key: object) -> tuple[object, ...]:
    """Values that depend on the number of nodes, under a name that does not say so."""
    return tensor.data_ptr(), tensor.shape, tensor.stride(), key[0]


def without_offset(tensor: Tensor, key: object) -> tuple[object, ...]:
    return tensor.shape, tensor.stride(), key


@pytest.mark.parametrize("place", [without_row_stride, without_nodes, without_offset])
def test_a_coarser_key_is_caught(place, monkeypatch):
    monkeypatch.setattr(memo, "_place", place)
    with pytest.raises((AssertionError, RuntimeError, IndexError)):
        run_state_machine_as_test(Edges, settings=settings(EXAMPLES, phases=[Phase.generate]))


def test_forgotten_writes_are_caught(monkeypatch):
    monkeypatch.setattr(memo._Known, "is_about", lambda known, root: True)
    with pytest.raises((AssertionError, RuntimeError, IndexError)):
        run_state_machine_as_test(Edges, settings=settings(EXAMPLES, phases=[Phase.generate]))
