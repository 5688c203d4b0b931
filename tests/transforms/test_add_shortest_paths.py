import pytest
import torch
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.transforms import Compose

from graphkit.nn import SPAGANConv
from graphkit.ops import shortest_paths
from graphkit.transforms import AddShortestPaths, paths_of


def graph(num_nodes=10):
    edge_index = torch.randint(num_nodes, (2, 30))
    return Data(x=torch.randn(num_nodes, 4), edge_index=edge_index, cost=torch.rand(30))


@pytest.mark.parametrize("cost", [None, "cost"])
def test_paths_run_against_the_edges_from_the_receiving_node(cost):
    data = graph()
    found = paths_of(AddShortestPaths(4, 1.0, cost=cost)(data))
    price = None if cost is None else data.cost
    wanted = shortest_paths(data.edge_index.flip(0), price, 4, 1.0, num_nodes=10)
    assert sorted(found) == [3, 4]
    assert all(torch.equal(found[c], wanted[c]) for c in found)
    chain = Data(edge_index=torch.tensor([[1, 2], [0, 1]]), num_nodes=3)
    assert paths_of(AddShortestPaths(ratio=1.0)(chain))[3].tolist() == [[0, 1, 2]]


def test_the_input_stays_as_it_was_and_the_transform_has_a_functional_name():
    data = graph()
    keys = data.keys()
    AddShortestPaths()(data)
    assert data.keys() == keys
    assert "path_index_3" in Compose([AddShortestPaths()])(data)


def test_a_batch_is_the_union_of_its_graphs():
    graphs = [AddShortestPaths(cost="cost")(graph(n)) for n in (10, 6, 12)]
    batch = Batch.from_data_list(graphs)
    conv = SPAGANConv(4, 5, heads=2)
    joined = conv(batch.x, batch.edge_index, paths_of(batch))
    single = [conv(one.x, one.edge_index, paths_of(one)) for one in graphs]
    torch.testing.assert_close(joined, torch.cat(single))
    assert torch.equal(batch.get_example(1).path_index_3, graphs[1].path_index_3)


def test_hetero_data_passes_through():
    data = HeteroData({"a": {"x": torch.ones(2, 1)}})
    assert AddShortestPaths()(data).to_dict() == data.to_dict()


def test_missing_attributes_are_named():
    with pytest.raises(ValueError, match="edge_index"):
        AddShortestPaths()(Data(x=torch.ones(2, 1)))
    with pytest.raises(ValueError, match="'price'"):
        AddShortestPaths(cost="price")(graph())
