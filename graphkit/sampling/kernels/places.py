# mypy: ignore-errors
"""Numbers for the nodes of a batch: a hash table from a node, or a tree's node, to its place.

Its size follows the batch and not the graph: ten million nodes cost no more than a thousand.
"""

from __future__ import annotations

import numpy as np

from graphkit.ops.cpu.kernels.compiling import helper, kernel

SPREAD = np.uint64(0x9E3779B97F4A7C15)
SHIFT = np.uint64(29)


@helper
def slot_of(keys, key):
    """Where a key stands in the table, or the free slot where it would."""
    # Multiplying spreads neighbouring numbers; the shift brings the high bits down.
    mask = keys.shape[0] - 1
    spread = np.uint64(key) * SPREAD
    slot = np.int64((spread ^ (spread >> SHIFT)) >> np.uint64(3)) & mask
    while keys[slot] >= 0 and keys[slot] != key:
        slot = (slot + 1) & mask
    return slot


@kernel
def moved(keys, values, size):
    """The table in ``size`` slots, a power of two."""
    new_keys, new_values = np.full(size, -1, np.int64), np.empty(size, np.int64)
    for old in range(keys.shape[0]):
        if keys[old] >= 0:
            slot = slot_of(new_keys, keys[old])
            new_keys[slot], new_values[slot] = keys[old], values[old]
    return new_keys, new_values


@kernel
def enter_seeds(keys, values, nodes, batch, num_nodes):
    """Enters seeds at places ``0, 1, …``; of a seed that repeats the first place counts."""
    entered = 0
    for i in range(nodes.shape[0]):
        key = nodes[i] if batch.shape[0] == 0 else batch[i] * num_nodes + nodes[i]
        slot = slot_of(keys, key)
        if keys[slot] < 0:
            keys[slot], values[slot] = key, i
            entered += 1
    return entered


@kernel
def enter(
    keys, values, row, picked, offsets, batch, begin, num_nodes, place, nodes, new_batch, rows, cols
):
    """Fills ``rows`` and ``cols`` with places of edges' ends; returns how many nodes are new."""
    new = 0
    for i in range(offsets.shape[0] - 1):
        tree = batch[i] * num_nodes if batch.shape[0] > 0 else 0
        for k in range(offsets[i], offsets[i + 1]):
            node = np.int64(row[picked[k]])
            slot = slot_of(keys, tree + node)
            if keys[slot] < 0:
                keys[slot], values[slot] = tree + node, place + new
                nodes[new] = node
                if batch.shape[0] > 0:
                    new_batch[new] = batch[i]
                new += 1
            rows[k], cols[k] = values[slot], begin + i
    return new


@kernel
def induced(keys, values, row, first, end, batch, num_nodes, rows, cols, edges):
    """Counts the edges between nodes of the table; fills them in if there is room for any."""
    count = 0
    for i in range(first.shape[0]):
        tree = batch[i] * num_nodes if batch.shape[0] > 0 else 0
        for e in range(first[i], end[i]):
            slot = slot_of(keys, tree + np.int64(row[e]))
            if keys[slot] >= 0:
                # The first call only counts, for memory that fits.
                if rows.shape[0] > 0:
                    rows[count], cols[count], edges[count] = values[slot], i, e
                count += 1
    return count


@kernel
def parts(node, edge, row, col, own, hops):
    """Marks what lies behind some centres of a batch: the nodes, and the edges into them."""
    for place in own:
        node[place] = True
    for _ in range(hops):
        # Marks of this round must not open edges in the same round: a hop is one step away.
        for e in range(row.shape[0]):
            edge[e] = node[col[e]]
        for e in range(row.shape[0]):
            if edge[e]:
                node[row[e]] = True
