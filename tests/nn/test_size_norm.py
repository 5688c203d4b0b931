"""Relative graph-size norm: what it keeps of PyG's, and what batch norm needs."""

from __future__ import annotations

import torch
from torch_geometric.nn import BatchNorm, GraphSizeNorm

from graphkit.nn.size_norm import RelativeSizeNorm

BATCH = torch.tensor([0, 0, 0, 0, 1, 1, 2])


def test_it_is_graph_size_norm_but_for_a_common_factor() -> None:
    x = torch.randn(7, 3, dtype=torch.float64)
    expected = GraphSizeNorm()(x, BATCH)
    out = RelativeSizeNorm().double()(x, BATCH)
    torch.testing.assert_close(out, expected * (7 / 3) ** 0.5)
    norms = BatchNorm(3, eps=1e-12).double(), BatchNorm(3, eps=1e-12).double()
    torch.testing.assert_close(norms[0](out), norms[1](expected))


def test_one_large_graph_keeps_its_signal() -> None:
    """Through PyG's norm the variance of 20,000 nodes is below the epsilon of batch norm."""
    x, batch = 0.1 * torch.randn(20_000, 1), torch.zeros(20_000, dtype=torch.long)
    assert BatchNorm(1)(RelativeSizeNorm()(x, batch)).std() > 0.99
    assert BatchNorm(1)(GraphSizeNorm()(x, batch)).std() < 0.25


def test_evaluation_does_not_depend_on_the_batch() -> None:
    norm, x = RelativeSizeNorm(), torch.randn(7, 3)
    norm(x, BATCH)
    assert float(norm.running_size) == torch.tensor(7 / 3)
    norm.train()(x[:4], BATCH[:4])
    torch.testing.assert_close(norm.running_size, torch.tensor(0.9 * 7 / 3 + 0.1 * 4))
    norm.eval()
    whole = norm(x, BATCH)
    alone = norm(x[4:6], torch.zeros(2, dtype=torch.long))
    torch.testing.assert_close(whole[4:6], alone)
    assert norm(x[:0], BATCH[:0]).shape == (0, 3)


def test_half_features_of_many_nodes() -> None:
    batch = torch.arange(70).repeat_interleave(1000)
    norm = RelativeSizeNorm().half()
    assert bool((norm(torch.ones(70_000, 1).half(), batch) == 1).all())
    assert norm.running_size.item() == 1000
