"""Graphs by target and by source: where an edge stands in one order and in the other."""

from __future__ import annotations

import pytest
import torch

from graphkit.ops.layout.rows import graph_of

EDGES = torch.tensor([[2, 0, 1, 0, 2, 1], [1, 2, 0, 0, 0, 1]])


@pytest.mark.parametrize("row", [None, 0, 1])
def test_positions_of_the_edges_by_source_among_those_by_target(row):
    edges = EDGES if row is None else EDGES[:, EDGES[row].argsort(stable=True)]
    positions = graph_of(edges, 3, 3).terms_of_sources
    by_target = edges[:, edges[1].argsort(stable=True)]
    assert (
        by_target[:, positions.long()].tolist() == edges[:, edges[0].argsort(stable=True)].tolist()
    )
    assert sorted(positions.tolist()) == list(range(6))
    assert positions.dtype == torch.int32


def test_a_graph_without_edges_has_no_positions():
    assert graph_of(EDGES[:, :0], 3, 3).terms_of_sources.tolist() == []
