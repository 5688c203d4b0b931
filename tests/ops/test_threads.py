"""Every op gives the same bits, forward and backward, whatever the number of threads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from graphkit import ops
from graphkit.ops.attention import self_attention
from graphkit.ops.cpu import self_attention as small
from graphkit.ops.cpu import threads
from tests.ops.oracles import CASES, Case, random_graph

THREADS = (2, 8, 16, 32)
# So small that PyTorch itself takes one thread: hundreds on two cores would wait for each other.
NODES, EDGES = {"few targets": 200, "many targets": 1_000}, 4_000


@pytest.fixture(autouse=True)
def every_kernel_is_shared_out(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No work is too small for several threads, and the number of them is put back."""
    monkeypatch.setattr(threads, "SMALL", 0)
    monkeypatch.setattr(threads, "SMALL_FOR_POOL", 0)
    monkeypatch.setattr(small, "SMALL", 0)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def results(case: Case, edge_index: Tensor, nodes: int) -> list[Tensor]:
    """The output and the gradients of a case, on inputs that do not depend on anything else."""
    generator = torch.Generator().manual_seed(1)
    heads, width = 2, 4
    shapes = case.shapes(edge_index.size(1), nodes, nodes, heads, width)
    inputs = [torch.randn(s, generator=generator).requires_grad_() for s in shapes]
    torch.manual_seed(2)
    out = case.run(edge_index, nodes, *inputs)
    weight = torch.randn(out.shape, generator=generator)
    return [out.detach(), *torch.autograd.grad((out * weight).sum(), inputs)]


def dropped(edge_index: Tensor, size: int, x: Tensor, src: Tensor, dst: Tensor) -> Tensor:
    return ops.gat_attention(edge_index, x, src, dst, dropout=0.5, training=True)


ALL = CASES | {
    "dropout": Case(dropped, dropped, CASES["gat_attention"].shapes),
    "dropout of a node to itself": Case(
        lambda i, m, x, s, d: self_attention(i, x, s, d, 0.2, 0.5),
        CASES["self_attention"].dense,
        CASES["self_attention"].shapes,
    ),
}


@pytest.fixture(params=["PyTorch's threads", "a pool"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where ranges are handed to: a pool of our own serves where there is no OpenMP."""
    if request.param == "a pool":
        monkeypatch.setattr(threads, "_address", lambda: 0)
    elif threads._address() == 0:
        pytest.skip("PyTorch's OpenMP has no GOMP_parallel")
    return str(request.param)


@pytest.mark.parametrize("kind", NODES)
@pytest.mark.parametrize("name", ALL)
@pytest.mark.usefixtures("way")
def test_the_number_of_threads_changes_no_bit(name: str, kind: str) -> None:
    nodes = NODES[kind]
    edge_index = random_graph(nodes, nodes, EDGES)
    # A hub that several chunks share, besides the rows that they have for themselves.
    edge_index[1, ::3] = 5
    torch.set_num_threads(1)
    expected = results(ALL[name], edge_index, nodes)
    for count in THREADS:
        torch.set_num_threads(count)
        for value, other in zip(results(ALL[name], edge_index, nodes), expected, strict=True):
            assert torch.equal(value, other), f"{count} threads"


@pytest.mark.parametrize("kind", NODES)
@pytest.mark.parametrize("name", ["self_attention", "dropout of a node to itself"])
def test_nor_does_it_where_all_steps_are_one_call(
    name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small, "SMALL", 1 << 40)
    test_the_number_of_threads_changes_no_bit(name, kind)


def test_the_kernels_are_shared_out(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the test above would compare one thread with itself."""
    calls = []
    name = "_executor" if way == "a pool" else "shared"
    before = getattr(threads, name)
    monkeypatch.setattr(threads, name, lambda value: calls.append(value) or before(value))
    torch.set_num_threads(2)
    results(CASES["self_attention"], random_graph(200, 200, EDGES), 200)
    assert len(calls) >= 2
