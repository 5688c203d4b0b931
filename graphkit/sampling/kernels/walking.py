# mypy: ignore-errors
"""Random walks along the edges of a graph."""

from __future__ import annotations

import numpy as np

from graphkit.ops.cpu.kernels.compiling import kernel
from graphkit.sampling.kernels.drawing import GOLDEN, below, mixed


@kernel
def walk(rowptr, col, seed, count, length, out):
    """Fills ``out`` with so many walks, each from a uniform node; a dead end is stayed at."""
    num_nodes = rowptr.shape[0] - 1
    for i in range(count):
        # A stream of its own for each walk.
        state = mixed(seed + GOLDEN * np.uint64(i + 1))
        state, node = below(state, num_nodes)
        out[i, 0] = node
        for step in range(length):
            degree = rowptr[node + 1] - rowptr[node]
            if degree > 0:
                state, number = below(state, degree)
                node = np.int64(col[rowptr[node] + number])
            out[i, step + 1] = node
