"""Samplers are compared edge for edge, and NumPy's draws neighbours alone."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.sampler import NodeSamplerInput

from benchmarks.speed import sampling
from benchmarks.speed.graphs import random_edges
from graphkit.sampling import NeighborSampler


def test_ratios_are_per_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    spread = {"median": 3.0, "low": 2.0, "high": 4.0}
    timed = {"times_faster": spread, "times_less_processor": spread}
    monkeypatch.setattr(sampling, "in_turns", lambda *args: dict(timed))
    threads = torch.get_num_threads()
    first, *others = sampling.rows(quick=True)
    assert torch.get_num_threads() == threads
    assert first["sampled_edges_per_processor_second"]["median"] > 0
    assert others[0]["rival"] == "NumPy, with replacement"
    for row in others:
        assert row["edges"] > 0
        wanted = 3.0 * row["edges"] / row["rival_edges"]
        assert row["times_faster"]["median"] == pytest.approx(wanted)


def test_numpy_takes_as_many_as_we_do_where_all_are_taken() -> None:
    # At most nine neighbours each, and every node is a seed: nobody is met that was not expanded.
    edge_index = random_edges(40, 160)
    seeds = torch.arange(40)
    sampler = NeighborSampler(Data(edge_index=edge_index, num_nodes=40), sampling.FANOUT)
    ours = sampler.sample_from_nodes(NodeSamplerInput(None, seeds)).row.numel()
    assert int(torch.bincount(edge_index[1]).max()) <= sampling.FANOUT[0]
    assert sampling.with_numpy(edge_index, 40)(seeds) == ours == 160
