# mypy: ignore-errors
"""Which edges are drawn: for each centre a stream of random numbers of its own.

A stream begins at a mix of the batch's seed and the centre's number, so that what a centre draws
depends neither on threads nor on processes.
"""

from __future__ import annotations

import numpy as np

from graphkit.ops.cpu.kernels.compiling import helper, kernel

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
S30, S27, S31, S32, S11 = (np.uint64(bits) for bits in (30, 27, 31, 32, 11))
LOW, TWO_32 = np.uint64(0xFFFFFFFF), np.uint64(1 << 32)
TO_UNIT = 1.0 / (1 << 53)
SCANNED = 32


@helper
def mixed(x):
    """The finalizer of SplitMix64: every bit of the outcome hangs on every bit of ``x``."""
    x = (x ^ (x >> S30)) * FIRST
    x = (x ^ (x >> S27)) * SECOND
    return x ^ (x >> S31)


@helper
def below(state, size):
    """The stream moved on, and a uniform number of ``0..size - 1`` for a size below 2**32."""
    # Lemire's multiplication; the few numbers that would favour some values are drawn again.
    bound = np.uint64(size)
    while True:
        state += GOLDEN
        product = (mixed(state) >> S32) * bound
        rest = product & LOW
        if rest >= bound or rest >= (TWO_32 - bound) % bound:
            return state, np.int64(product >> S32)


@helper
def unit(state):
    """The stream moved on, and a uniform number of (0, 1]."""
    state += GOLDEN
    return state, (np.float64(mixed(state) >> S11) + 1.0) * TO_UNIT


@kernel
def count_draws(
    colptr, row, nodes, batch, limits, times, by_node, weights, count, replace, last, first, end
):
    """Fills the range of edges open to each centre; returns where the draws of each begin."""
    offsets = np.zeros(nodes.shape[0] + 1, np.int64)
    for i in range(nodes.shape[0]):
        low, high = colptr[nodes[i]], colptr[nodes[i] + 1]
        if limits.shape[0] > 0:
            # Neighbours are sorted by time: those of the past end where the first later one stands.
            limit, left, right = limits[batch[i]], low, high
            while left < right:
                middle = (left + right) // 2
                time = times[row[middle]] if by_node else times[middle]
                if time <= limit:
                    left = middle + 1
                else:
                    right = middle
            high = left
        if last and 0 <= count < high - low:
            low = high - count
        possible = high - low
        if weights.shape[0] > 0 and count >= 0:
            # An edge of weight zero is never drawn.
            possible = 0
            for e in range(low, high):
                possible += weights[e] > 0
        if count < 0:
            draws = high - low
        elif replace:
            draws = count if possible > 0 else 0
        else:
            draws = min(count, possible)
        first[i], end[i] = low, high
        offsets[i + 1] = offsets[i] + draws
    return offsets


@kernel
def draw(begin, stop, seed, first, end, offsets, weights, take_all, replace, picked):
    """Fills ``picked`` with the edges of the centres ``begin..stop``."""
    # Scratch space for weights and for a set of numbers, as large as the largest need so far.
    keys, sums, table = np.empty(0), np.empty(0), np.empty(0, np.int64)
    weighted = weights.shape[0] > 0
    for i in range(begin, stop):
        out = picked[offsets[i] : offsets[i + 1]]
        low, degree, draws = first[i], end[i] - first[i], out.shape[0]
        if draws == 0:
            continue
        state = mixed(seed + GOLDEN * np.uint64(i + 1))
        if take_all or (draws == degree and not replace):
            for k in range(draws):
                out[k] = low + k
        elif replace and weighted:
            if sums.shape[0] < degree:
                sums = np.empty(2 * degree)
            draw_weighted_again(state, low, degree, weights, sums, out)
        elif replace:
            for k in range(draws):
                state, number = below(state, degree)
                out[k] = low + number
        elif weighted:
            if keys.shape[0] < draws:
                keys = np.empty(2 * draws)
            draw_weighted(state, low, degree, weights, keys, out)
        else:
            if draws > SCANNED and table.shape[0] < 4 * draws:
                table = np.empty(8 * draws, np.int64)
            draw_distinct(state, low, degree, table, out)


@kernel
def draw_distinct(state, low, degree, table, out):
    """A uniform set of edges, by Floyd's algorithm."""
    draws = out.shape[0]
    mask = np.int64(1)
    if draws > SCANNED:
        # An open hash table at most half full, where a scan would be quadratic.
        while mask < 2 * draws:
            mask *= 2
        table[:mask] = -1
    mask -= 1
    for k in range(draws):
        top = degree - draws + k
        state, number = below(state, top + 1)
        # The new top stands in for a number that is taken: it cannot be, as it is drawn first now.
        if draws <= SCANNED:
            for other in range(k):
                if out[other] == low + number:
                    number = top
                    break
        else:
            slot = np.int64(mixed(np.uint64(number))) & mask
            while table[slot] >= 0:
                if table[slot] == number:
                    number = top
                    slot = np.int64(mixed(np.uint64(number)))
                    slot &= mask
                    continue
                slot = (slot + 1) & mask
            table[slot] = number
        out[k] = low + number


@kernel
def draw_weighted(state, low, degree, weights, keys, out):
    """Edges without replacement, each in proportion to its weight among those that are left."""
    # Clocks with rates w ring in just that order, so the first of them are the sample.
    draws, held = out.shape[0], 0
    for e in range(low, low + degree):
        if not weights[e] > 0:
            continue
        state, chance = unit(state)
        key = -np.log(chance) / weights[e]
        if held == draws and not key < keys[draws - 1]:
            continue
        place = held if held < draws else draws - 1
        while place > 0 and keys[place - 1] > key:
            keys[place], out[place] = keys[place - 1], out[place - 1]
            place -= 1
        keys[place], out[place] = key, e
        held = min(held + 1, draws)


@kernel
def draw_weighted_again(state, low, degree, weights, sums, out):
    """Edges with replacement, each in proportion to its weight."""
    total = 0.0
    for k in range(degree):
        total += weights[low + k]
        sums[k] = total
    for k in range(out.shape[0]):
        state, chance = unit(state)
        # Of (0, total]: the first running sum that reaches it belongs to a positive weight.
        aim = chance * total
        left, right = 0, degree - 1
        while left < right:
            middle = (left + right) // 2
            if sums[middle] < aim:
                left = middle + 1
            else:
                right = middle
        out[k] = low + left


@kernel
def unsorted_time(colptr, row, times, by_node):
    """The first centre whose neighbours do not stand in the order of time, -1 for none."""
    for i in range(colptr.shape[0] - 1):
        for e in range(colptr[i] + 1, colptr[i + 1]):
            before = times[row[e - 1]] if by_node else times[e - 1]
            if (times[row[e]] if by_node else times[e]) < before:
                return i
    return -1
