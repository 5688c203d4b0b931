# mypy: ignore-errors
"""All of self-attention in one call, for graphs so small that calls cost more than arithmetic.

Arguments are addresses and sizes; ``team`` is where threads come from and how many.
"""

import numpy as np

from graphkit.ops.cpu.kernels.addresses import array_at
from graphkit.ops.cpu.kernels.attention import attend_pieces, attend_rows
from graphkit.ops.cpu.kernels.attention_back import attend_back, describe_targets
from graphkit.ops.cpu.kernels.compiling import helper, kernel
from graphkit.ops.cpu.kernels.ends import score_ends, score_ends_back
from graphkit.ops.cpu.kernels.sharing import share_tasks, tasks_for
from graphkit.ops.cpu.kernels.sorting import cut
from graphkit.ops.cpu.kernels.sums import add_pieces
from graphkit.ops.cpu.kernels.vector import add_rows, add_scaled, copy

ROWS_PER_CHUNK = 512


@helper
def _order(addresses, nodes, edges):
    """Bounds of rows, other ends and edges, in the order of the rows."""
    one = np.int32(0)
    indptr = array_at(addresses[0], nodes + 1, one)
    # An address of 0 says that the order of rows is that of the edges.
    perm = array_at(addresses[2], edges if addresses[2] != 0 else 0, one)
    return indptr, array_at(addresses[1], edges, one), perm


@helper
def _keys(words):
    """What decides about dropout; nothing if nothing is dropped."""
    keys = np.empty(3 if words[2] > 0 else 0, np.uint32)
    for i in range(keys.shape[0]):
        keys[i] = np.uint32(words[i])
    return keys


@kernel
def attend(team, order, shape, words, slope, keep, x_at, src_at, dst_at, bias_at, outs):
    """Scores of both ends, then sums over neighbours; with a bias also those and the bias."""
    batch, nodes, edges, heads, width, parts = shape
    rows_total, features, units = batch * nodes, heads * width, batch * parts
    x = array_at(x_at, rows_total * features, slope)
    out = array_at(outs[0], rows_total * features, slope)
    statistics = array_at(outs[1], 2 * rows_total * heads, slope)
    score_src = array_at(outs[2], rows_total * heads, slope)
    score_dst = array_at(outs[3], rows_total * heads, slope)
    ends = array_at(src_at, features, slope), array_at(dst_at, features, slope)
    # An address of 0 says that there is no bias.
    bias = array_at(bias_at, features if bias_at != 0 else 0, slope)
    biased = array_at(outs[4], rows_total * features if bias_at != 0 else 0, slope)
    # The steps are those of large graphs, one after another: what is saved is the way to Python
    # and back between them, which takes longer than they do.
    given = (x, ends[0], ends[1], heads, width, score_src, score_dst)
    share_tasks(score_ends, team[0], team[1], tasks_for(rows_total, team[1]), rows_total, given)
    indptr, others, perm = _order(order, nodes, edges)
    rows, entries = cut(indptr, parts)
    slots = np.full(2 * units, -1, np.int64)
    pieces = np.empty(slots.shape[0] * features, x.dtype)
    piece_statistics = np.empty((2, slots.shape[0] * heads), x.dtype)
    walked = (
        parts,
        rows,
        entries,
        indptr,
        others,
        perm,
        x,
        nodes,
        score_src,
        score_dst,
        np.empty(0, x.dtype),
        False,
        slope,
        _keys(words),
        keep,
        heads,
        width,
        out,
        statistics,
        slots,
        pieces,
        piece_statistics,
        bias,
        biased,
    )
    share_tasks(attend_rows, team[0], team[1], tasks_for(units, team[1]), units, walked)
    attend_pieces(slots, pieces, piece_statistics, out, statistics, bias, biased, heads, width)


@kernel
def attend_back_all(
    team, order, shape, words, slope, keep, tables, x_at, src_at, dst_at, saved, steps, outs
):
    """Gradients of the features, of both vectors and of the bias, from what the forward pass kept.

    Rows and columns of the output's gradient are ``steps`` apart.
    """
    batch, nodes, edges, heads, width, parts = shape
    rows_total, features, units = batch * nodes, heads * width, batch * parts
    x = array_at(x_at, rows_total * features, slope)
    score_src = array_at(saved[0], rows_total * heads, slope)
    score_dst = array_at(saved[1], rows_total * heads, slope)
    out = array_at(saved[2], rows_total * features, slope)
    statistics = array_at(saved[3], 2 * rows_total * heads, slope)
    far = (rows_total - 1) * steps[0] + (features - 1) * steps[1] + 1
    toward = array_at(saved[4], max(0, far), slope)
    laid_out = steps[0] == features and steps[1] == 1
    grad = toward if laid_out else np.empty(rows_total * features, x.dtype)
    # What lives only here is made here, and not through PyTorch, which would have to be asked
    # from Python.
    targets = np.empty(4 * rows_total * heads, x.dtype)
    given = (score_dst, statistics, out, toward, steps, grad, heads, width, targets)
    share_tasks(
        describe_targets, team[0], team[1], tasks_for(rows_total, team[1]), rows_total, given
    )
    grad_x = array_at(outs[0], rows_total * features, slope)
    grad_src = np.empty(rows_total * heads, x.dtype)
    grad_dst = np.empty(tables * rows_total * heads, x.dtype)
    indptr, others, perm = _order(order, nodes, edges)
    rows, entries = cut(indptr, parts)
    slots = np.full(2 * units, -1, np.int64)
    pieces = np.empty(slots.shape[0] * features, x.dtype)
    piece_src = np.empty(slots.shape[0] * heads, x.dtype)
    nothing = np.empty(0, x.dtype)
    walked = (
        parts,
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
        tables,
        slots,
        pieces,
        piece_src,
    )
    share_tasks(attend_back, team[0], team[1], tables, units, walked)
    add_pieces(slots, pieces, grad_x, features)
    add_pieces(slots, piece_src, grad_src, heads)
    for t in range(1, tables):
        start = t * rows_total * heads
        add_scaled(grad_dst, 0, grad_dst, start, x.dtype.type(1), rows_total * heads)
    chunks = (rows_total + ROWS_PER_CHUNK - 1) // ROWS_PER_CHUNK
    # Every chunk's table holds one vector after the other; an address of 0: no bias to hear of.
    table = (3 if outs[3] != 0 else 2) * features
    sums = np.zeros((1 + chunks) * table, x.dtype)
    given = (
        ROWS_PER_CHUNK,
        rows_total,
        x,
        array_at(src_at, features, slope),
        array_at(dst_at, features, slope),
        grad_src,
        grad_dst,
        heads,
        width,
        grad_x,
        grad if outs[3] != 0 else nothing,
        sums[table:],
    )
    share_tasks(score_ends_back, team[0], team[1], tasks_for(chunks, team[1]), chunks, given)
    add_rows(sums, 0, sums, table, table, chunks, table)
    for t in range(3 if outs[3] != 0 else 2):
        copy(array_at(outs[1 + t], features, slope), 0, sums, t * features, features)
