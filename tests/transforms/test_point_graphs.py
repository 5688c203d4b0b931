"""The transforms against the functions they call."""

import inspect

import pytest
import torch
from torch_geometric import transforms as pyg
from torch_geometric.data import Batch, Data

from graphkit.nn import knn_graph, radius_graph
from graphkit.transforms import KNNGraph, RadiusGraph


def graphs():
    return Batch.from_data_list([Data(pos=torch.rand(size, 2)) for size in (6, 1, 9)])


def test_options_reach_the_search():
    data = graphs()
    flow = "target_to_source"
    out = KNNGraph(3, loop=True, flow=flow, cosine=True)(data.clone())
    wanted = knn_graph(data.pos, 3, data.batch, True, flow, True)
    assert torch.equal(out.edge_index, wanted)
    assert out.edge_attr is None
    out = RadiusGraph(0.5, loop=True, max_num_neighbors=3, flow=flow)(data.clone())
    assert torch.equal(out.edge_index, radius_graph(data.pos, 0.5, data.batch, True, 3, flow))
    assert KNNGraph(3, force_undirected=True)(data).is_undirected()


@pytest.mark.parametrize(
    ("ours", "theirs"), [(KNNGraph, pyg.KNNGraph), (RadiusGraph, pyg.RadiusGraph)]
)
def test_signatures_are_pygs(ours, theirs):
    assert inspect.signature(ours) == inspect.signature(theirs)
    with pytest.raises(ValueError, match="'pos'"):
        ours(1)(Data(x=torch.rand(3, 2)))
