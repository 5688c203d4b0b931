# mypy: ignore-errors
"""A counting sort that takes its entries chunk by chunk."""

from __future__ import annotations

from graphkit.ops.cpu.kernels.compiling import kernel


@kernel
def count(targets, colptr):
    """Counts the entries of each target one place on, so that sums give where they begin."""
    for target in targets:
        colptr[target + 1] += 1


@kernel
def place(targets, cursor, places):
    """Fills ``places`` with where each entry goes; entries of one target keep their order."""
    # The caller looks at places before it writes there: edges may have changed since the count.
    for k in range(targets.shape[0]):
        places[k] = cursor[targets[k]]
        cursor[targets[k]] += 1
