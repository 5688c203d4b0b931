"""Clustering of nodes: views, arms, what they report."""

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import stochastic_blockmodel_graph

from benchmarks.harness.fitting import Fitter
from benchmarks.protocols import node_clustering

TRAIN = {"epochs": 1, "lr": 0.01, "monitor": None}


@pytest.fixture
def blocks():
    """Three communities with features of their own."""
    torch.manual_seed(0)
    y = torch.arange(3).repeat_interleave(20)
    edges = stochastic_blockmodel_graph([20] * 3, 0.02 + 0.28 * torch.eye(3))
    return Data(x=torch.rand(60, 12) + torch.rand(3, 12)[y], edge_index=edges, y=y)


def test_a_view_lacks_edges_and_features(blocks):
    task = node_clustering.NodeViews(blocks, 2, edges=0.5, features=0.5)
    x, edge_index = task.view()
    hidden = (x == 0).all(0)
    assert 0 < hidden.sum() < 12
    assert torch.equal(x[:, ~hidden], blocks.x[:, ~hidden])
    assert 0.3 < edge_index.size(1) / blocks.num_edges < 0.7
    assert len(list(task.batches(0))) == 2
    whole = node_clustering.NodeViews(blocks, 1, edges=0.0, features=0.0).view()
    assert torch.equal(whole[0], blocks.x)
    assert torch.equal(whole[1], blocks.edge_index)


def test_arms_and_their_differences(blocks, monkeypatch):
    monkeypatch.setattr(node_clustering.datasets, "load", lambda name: [blocks])
    metrics = node_clustering.run(
        {"name": "made-up"},
        seed=0,
        fit=Fitter(TRAIN, 0),
        channels=8,
        rounds=2,
        steps=3,
        gae_steps=5,
    )
    assert metrics["nmi"] == metrics["nmi_both"]
    for other in ("none", "gae", "cluster"):
        gain = metrics["nmi"] - metrics[f"nmi_{other}"]
        assert metrics[f"over_{other}"] == pytest.approx(gain)
    for arm in ("cluster", "visual", "temporal", "both"):
        assert 0 <= metrics[f"nmi_{arm}"] <= 1
        assert metrics[f"spread_{arm}"] > 0.05
