# mypy: ignore-errors
"""A graph cut into parts of equal size: nodes stream into parts, then move to their neighbours'."""

from __future__ import annotations

import numpy as np

from graphkit.ops.cpu.kernels.compiling import helper, kernel


@helper
def count_parts(node, colptr, row, part, counts, touched):
    """Counts the parts of a node's neighbours; returns how many parts these are."""
    number = 0
    for e in range(colptr[node], colptr[node + 1]):
        other = part[row[e]]
        if other >= 0 and row[e] != node:
            if counts[other] == 0:
                touched[number] = other
                number += 1
            counts[other] += 1
    return number


@kernel
def breadth_first(colptr, row, order):
    """Fills ``order`` with the nodes, each near to those before it."""
    num_nodes = colptr.shape[0] - 1
    seen = np.zeros(num_nodes, np.bool_)
    head, tail = 0, 0
    for start in range(num_nodes):
        # Another component begins where a search has ended.
        if seen[start]:
            continue
        seen[start], order[tail] = True, start
        tail += 1
        while head < tail:
            node = order[head]
            head += 1
            for e in range(colptr[node], colptr[node + 1]):
                if not seen[row[e]]:
                    seen[row[e]], order[tail] = True, row[e]
                    tail += 1


@kernel
def stream(colptr, row, order, room, part, sizes):
    """Gives each node the part of most of its neighbours, less the fuller that part is."""
    parts = sizes.shape[0]
    counts, touched = np.zeros(parts, np.int64), np.empty(parts, np.int64)
    open_part = 0
    for node in order:
        number = count_parts(node, colptr, row, part, counts, touched)
        best, score = -1, 0.0
        for k in range(number):
            other = touched[k]
            # The weight of linear deterministic greedy partitioning: free room counts in full.
            value = counts[other] * (1.0 - sizes[other] / room)
            if sizes[other] < room and value > score:
                best, score = other, value
            counts[other] = 0
        if best < 0:
            # Nothing pulls: parts are filled one after the other, so that neighbours in the order
            # meet.
            while sizes[open_part] >= room:
                open_part += 1
            best = open_part
        part[node] = best
        sizes[best] += 1


@kernel
def refine(colptr, row, order, least, room, part, sizes):
    """Moves nodes to the part of most of their neighbours where sizes allow; returns how many."""
    parts = sizes.shape[0]
    counts, touched = np.zeros(parts, np.int64), np.empty(parts, np.int64)
    moves = 0
    for node in order:
        here = part[node]
        number = count_parts(node, colptr, row, part, counts, touched)
        best, most = here, counts[here]
        for k in range(number):
            other = touched[k]
            if counts[other] > most and sizes[other] < room:
                best, most = other, counts[other]
        for k in range(number):
            counts[touched[k]] = 0
        # A part is never emptied below its least size, so that none disappears.
        if best != here and sizes[here] > least:
            part[node] = best
            sizes[here] -= 1
            sizes[best] += 1
            moves += 1
    return moves
