# mypy: ignore-errors
"""All of self-attention in one call, for graphs so small that calls cost more than arithmetic.

Arguments are addresses and sizes. One chunk walks all rows, so no row is cut into pieces.
"""

import numpy as np

from graphkit.ops.cpu.kernels.addresses import array_at
from graphkit.ops.cpu.kernels.attention import attend_rows
from graphkit.ops.cpu.kernels.attention_back import attend_back, describe_targets
from graphkit.ops.cpu.kernels.compiling import helper, kernel
from graphkit.ops.cpu.kernels.ends import score_ends, score_ends_back


@helper
def _order(addresses, nodes, edges):
    """Bounds of rows, other ends and edges, in the order of the rows."""
    one = np.int32(0)
    indptr = array_at(addresses[0], nodes + 1, one)
    # An address of 0 says that the order of rows is that of the edges.
    perm = array_at(addresses[2], edges if addresses[2] != 0 else 0, one)
    return indptr, array_at(addresses[1], edges, one), perm


@helper
def _whole(batch, nodes, edges):
    """One chunk of all rows, and slots for pieces that it does not make."""
    # As sorting.cut would have it for one part; nothing is cut, so no slot is ever filled.
    rows, entries = np.zeros(2, np.int64), np.zeros(2, np.int64)
    rows[1], entries[1] = nodes, edges
    return rows, entries, np.full(2 * batch, -1, np.int64)


@helper
def _keys(words):
    """What decides about dropout; nothing if nothing is dropped."""
    keys = np.empty(3 if words[2] > 0 else 0, np.uint32)
    for i in range(keys.shape[0]):
        keys[i] = np.uint32(words[i])
    return keys


@kernel
def attend(order, shape, words, slope, keep, x_at, src_at, dst_at, outs):
    """Scores of both ends, then sums over neighbours."""
    batch, nodes, edges, heads, width = shape
    rows_total, features = batch * nodes, heads * width
    x = array_at(x_at, rows_total * features, slope)
    out = array_at(outs[0], rows_total * features, slope)
    statistics = array_at(outs[1], 2 * rows_total * heads, slope)
    score_src = array_at(outs[2], rows_total * heads, slope)
    score_dst = array_at(outs[3], rows_total * heads, slope)
    ends = array_at(src_at, features, slope), array_at(dst_at, features, slope)
    # The steps are those of large graphs, one after another: what is saved is the way to Python
    # and back between them, which takes longer than they do.
    score_ends(0, rows_total, x, ends[0], ends[1], heads, width, score_src, score_dst)
    indptr, others, perm = _order(order, nodes, edges)
    rows, entries, slots = _whole(batch, nodes, edges)
    nothing = np.empty(0, x.dtype)
    attend_rows(
        0,
        batch,
        1,
        rows,
        entries,
        indptr,
        others,
        perm,
        x,
        nodes,
        score_src,
        score_dst,
        nothing,
        False,
        slope,
        _keys(words),
        keep,
        heads,
        width,
        out,
        statistics,
        slots,
        nothing,
        np.empty((2, 0), x.dtype),
    )


@kernel
def attend_back_all(order, shape, words, slope, keep, x_at, src_at, dst_at, saved, outs):
    """Gradients of the features and of both vectors, from what the forward pass kept."""
    batch, nodes, edges, heads, width = shape
    rows_total, features = batch * nodes, heads * width
    x = array_at(x_at, rows_total * features, slope)
    score_src = array_at(saved[0], rows_total * heads, slope)
    score_dst = array_at(saved[1], rows_total * heads, slope)
    out = array_at(saved[2], rows_total * features, slope)
    statistics = array_at(saved[3], 2 * rows_total * heads, slope)
    grad = array_at(saved[4], rows_total * features, slope)
    # What lives only here is made here, and not through PyTorch, which would have to be asked
    # from Python.
    targets = np.empty(4 * rows_total * heads, x.dtype)
    describe_targets(0, rows_total, score_dst, statistics, out, grad, heads, width, targets)
    grad_x = array_at(outs[0], rows_total * features, slope)
    grad_src = np.empty(rows_total * heads, x.dtype)
    # One thread needs one table, so that targets' gradients may be added up where they belong;
    # large graphs have one per share of the work, or a value per edge.
    grad_dst = np.zeros(rows_total * heads, x.dtype)
    indptr, others, perm = _order(order, nodes, edges)
    rows, entries, slots = _whole(batch, nodes, edges)
    nothing = np.empty(0, x.dtype)
    attend_back(
        0,
        batch,
        1,
        rows,
        entries,
        indptr,
        others,
        perm,
        x,
        nodes,
        score_src,
        targets,
        nothing,
        False,
        slope,
        _keys(words),
        keep,
        heads,
        width,
        grad,
        grad_x,
        grad_src,
        nothing,
        grad_dst,
        1,
        slots,
        nothing,
        nothing,
    )
    # All rows are one chunk here, too, whose table is the gradient of both vectors.
    tables = np.empty(2 * features, x.dtype)
    score_ends_back(
        0,
        1,
        rows_total,
        rows_total,
        x,
        array_at(src_at, features, slope),
        array_at(dst_at, features, slope),
        grad_src,
        grad_dst,
        heads,
        width,
        grad_x,
        tables,
    )
    # The chunk's table holds one vector after the other.
    array_at(outs[1], features, slope)[:] = tables[:features]
    array_at(outs[2], features, slope)[:] = tables[features:]
