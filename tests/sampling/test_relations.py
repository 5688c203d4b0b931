"""Kinds of nodes and their numbers, as remote stores give them."""

from __future__ import annotations

import torch
from torch_geometric.data import HeteroData

from graphkit.sampling.relations import from_stores


def test_a_kind_that_no_edge_touches_is_known_by_its_features():
    data = HeteroData()
    data["a"].x, data["b"].x, data["alone"].x = torch.rand(3, 1), torch.rand(2, 1), torch.rand(5, 1)
    data["a", "to", "b"].edge_index = torch.tensor([[0, 1, 2], [0, 0, 1]])
    relations = from_stores((data, data), None, backward=False)
    assert relations.num_nodes == {"a": 3, "b": 2, "alone": 5}
