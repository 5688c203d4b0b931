"""What only the CPU backend promises: threads, chunks, forks, and no compilation at import."""

from __future__ import annotations

import multiprocessing
import os
import threading

import numpy as np
import pytest
import torch

from graphkit import ops
from graphkit.ops.cpu import threads
from graphkit.ops.cpu.kernels import sorting
from graphkit.ops.cpu.kernels.compiling import kernel
from tests import processes
from tests.ops.oracles import CASES, random_graph

LARGE = random_graph(3000, 2500, 40_000, 5)
LARGE[1, ::2] = 7


def _all_ops() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(3000, 4, 8, generator=generator, requires_grad=True)
    y = torch.randn(2500, 4, 8, generator=generator, requires_grad=True)
    weight = torch.randn(40_000, 4, generator=generator, requires_grad=True)
    torch.manual_seed(9)
    outs = [
        ops.spmm(LARGE, weight, x, 2500),
        ops.sddmm(LARGE, x, y),
        ops.edge_softmax(LARGE, weight, 2500),
        ops.segment_reduce(weight, LARGE[1], 2500, "max"),
        ops.segment_reduce(weight, LARGE[1], 2500, "logsumexp").nan_to_num(neginf=0.0),
        ops.gat_attention(LARGE, x, x.sum(-1), y.sum(-1), dropout=0.3, training=True),
        ops.gatv2_attention(LARGE, x, y, x[0], dropout=0.3, training=True),
        ops.dot_attention(LARGE, y, x, x, dropout=0.3, training=True),
    ]
    grads = torch.autograd.grad(sum(out.square().sum() for out in outs), [x, y, weight])
    return [out.detach() for out in outs] + list(grads)


@pytest.fixture
def restored_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("restored_threads")
def test_rows_cut_between_chunks_equal_the_reference():
    found = _all_ops()
    with ops.backend("reference"):
        expected = _all_ops()
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-4 * float(b.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("columns", [64, 192, 96])
@pytest.mark.parametrize("ordered", [False, True])
def test_sums_in_registers_are_those_of_the_reference(columns, dtype, ordered):
    edges = LARGE[:, LARGE[1].argsort(stable=True)] if ordered else LARGE
    x = torch.randn(3000, columns, dtype=dtype, requires_grad=True)
    weight = torch.randn(2500, columns, dtype=dtype)
    results = []
    for backend in ("numba", "reference"):
        with ops.backend(backend):
            out = ops.spmm(edges, None, x, 2500)
            results.append((out.detach(), *torch.autograd.grad((out * weight).sum(), x)))
    for found, wanted in zip(*results, strict=True):
        size = float(wanted.abs().max())
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6 * size)


WIDTHS = [(8, 8), (8, 24), (4, 48), (8, 40), (4, 16), (2, 32), (6, 32), (1, 64), (2, 96), (1, 192)]


@pytest.mark.parametrize("name", ["gat_attention", "gatv2_attention_edges", "dot_attention_edges"])
@pytest.mark.parametrize(("heads", "width"), WIDTHS)
def test_heads_in_registers_keep_their_own_weights(heads, width, name):
    # A tile of 64 columns may begin or end in the middle of a head: 24, 40 and 48 columns do.
    case, edges = CASES[name], random_graph(9, 7, 40, 2)
    shapes = case.shapes(edges.size(1), 9, 7, heads, width)
    for dtype in (torch.float32, torch.float64):
        inputs = [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]
        out, wanted = case.run(edges, 7, *inputs), case.dense(edges, 7, *inputs)
        toward = torch.randn_like(wanted)
        torch.testing.assert_close(out, wanted, rtol=1e-4, atol=1e-5)
        grads = torch.autograd.grad((out * toward).sum(), inputs)
        others = torch.autograd.grad((wanted * toward).sum(), inputs)
        for found, other in zip(grads, others, strict=True):
            torch.testing.assert_close(
                found, other, rtol=1e-4, atol=1e-4 * float(other.abs().max())
            )


@pytest.mark.usefixtures("restored_threads")
def test_results_do_not_depend_on_the_number_of_threads():
    results = []
    for count in (1, 2, 5):
        torch.set_num_threads(count)
        results.append(_all_ops())
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.usefixtures("restored_threads")
def test_ops_may_be_called_from_several_threads_at_once():
    torch.set_num_threads(2)
    expected, results = _all_ops()[0], []
    workers = [threading.Thread(target=lambda: results.append(_spmm())) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 4
    assert all(torch.equal(result, results[0]) for result in results)
    assert expected.shape == (2500, 4, 8)


FEATURES = torch.ones(3000, 16)


def _spmm() -> torch.Tensor:
    return ops.spmm(LARGE, None, FEATURES, 2500)


def _in_a_fork(queue) -> None:
    """Keeps to ops: PyTorch's own parallel loops may hang after a fork."""
    queue.put(float(_spmm().numpy().sum()))


@pytest.mark.usefixtures("restored_threads")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_worker_starts_threads_of_its_own():
    torch.set_num_threads(2)
    expected = float(_spmm().numpy().sum())
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    worker = context.Process(target=_in_a_fork, args=(queue,))
    worker.start()
    assert queue.get(timeout=600) == expected
    worker.join(timeout=600)
    assert worker.exitcode == 0


@pytest.mark.usefixtures("restored_threads")
def test_an_exception_in_a_kernel_reaches_the_caller():
    torch.set_num_threads(2)

    def broken(first: int, last: int) -> None:
        raise FloatingPointError(f"{first}")

    with pytest.raises(FloatingPointError):
        threads.run(broken, 8, 1 << 30)


@kernel
def count_up(first, last, seen, least):
    for unit in range(first, last):
        if unit < least:
            raise ValueError("too small")
        seen[unit] += 1


@pytest.mark.usefixtures("restored_threads")
@pytest.mark.skipif(threads._address() == 0, reason="PyTorch's OpenMP has no GOMP_parallel")
def test_a_compiled_kernel_that_fails_raises_once_all_threads_are_done():
    torch.set_num_threads(2)
    seen = np.zeros(37, np.int64)
    with pytest.raises(MemoryError, match="kernel"):
        threads.run(count_up, 37, 1 << 30, seen, 1)
    assert seen[5:].tolist() == [1] * 32


@pytest.mark.usefixtures("restored_threads")
@pytest.mark.parametrize("tasks", [0, 1, 3, 37, 90])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_unit_runs_once(count, tasks):
    torch.set_num_threads(count)
    seen: list[int] = []
    threads.run(lambda a, b: seen.extend(range(a, b)), 37, 1 << 30, tasks=tasks)
    assert sorted(seen) == list(range(37))
    counts = np.zeros(37, np.int64)
    threads.run(count_up, 37, 1 << 30, counts, 0, tasks=tasks)
    assert counts.tolist() == [1] * 37


@pytest.mark.parametrize("parts", [1, 2, 7, 64])
@pytest.mark.parametrize("counts", [[0], [5, 0, 0, 1], [0, 0, 100, 0], [1] * 40, [0] * 9])
def test_chunks_cover_rows_and_entries_once_in_equal_shares(counts, parts):
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    rows, entries = sorting.cut(indptr, parts)
    assert (rows[0], entries[0], rows[-1], entries[-1]) == (0, 0, len(counts), sum(counts))
    shares = np.diff(rows) + np.diff(entries)
    assert shares.max() - shares.min() <= 1
    assert np.all(indptr[rows] <= entries)
    assert np.all(entries <= indptr[np.minimum(rows + 1, len(counts))])


CHILD = """
import sys
import graphkit.ops as ops
assert not any(name.startswith("graphkit.ops.cpu.kernels") for name in sys.modules)
import torch
e = torch.randint(0, 50, (2, 400))
ops.spmm(e, torch.randn(400, 2), torch.randn(50, 2, 8))
from graphkit.ops.cpu.kernels import sorting, sums
kernels = [sums.sum_rows, sums.add_pieces, sorting.place]
hits = [sum(k.stats.cache_hits.values()) for k in kernels]
misses = [sum(k.stats.cache_misses.values()) for k in kernels]
print("counts", *hits, *misses)
"""


def _child(folder) -> list[int]:
    done = processes.run(CHILD, env={"NUMBA_CACHE_DIR": None, "GRAPHKIT_CACHE": str(folder)})
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()[1:]]


def test_import_compiles_nothing_and_the_second_process_neither(tmp_path):
    first, second = _child(tmp_path), _child(tmp_path)
    assert first == [0, 0, 0, 1, 1, 1]
    assert second == [1, 1, 1, 0, 0, 0]


def test_a_folder_that_cannot_be_written_is_said(tmp_path, monkeypatch):
    from graphkit.ops.cpu.kernels.compiling import cache_folder

    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("GRAPHKIT_CACHE", str(blocked))
    with pytest.warns(UserWarning, match="set GRAPHKIT_CACHE to a writable folder"):
        assert cache_folder.__wrapped__() is None
