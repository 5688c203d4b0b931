import copy
import pickle

import pytest
import torch
from torch import nn
from torch_geometric.nn import GAT, GCN, GIN, GCNConv, GraphNorm, GraphSAGE, global_mean_pool

from graphkit.compress import BlockNet, GraphBlock, cut_gnn
from tests.compress.networks import conv_blocks, graph, graph_blocks, images


class Pool(nn.Module):
    def forward(self, x, batch):
        return global_mean_pool(x, batch)


def test_images_pass_block_by_block():
    blocks, x = conv_blocks(4), images()
    net = BlockNet(*blocks)
    assert torch.equal(net(x), blocks[2](blocks[1](blocks[0](x))))
    assert torch.equal(net[:2](x), blocks[1](blocks[0](x)))
    assert len(list(net.parameters())) == sum(len(list(b.parameters())) for b in blocks)


def test_blocks_get_what_they_have_an_argument_for():
    x, edge_index = graph()
    weight, batch = torch.rand(edge_index.size(1)), torch.arange(12) // 6
    first, last = GCNConv(6, 4), nn.Linear(4, 3)
    net = BlockNet(GraphBlock(first, nn.ReLU()), Pool(), last)
    expected = last(global_mean_pool(first(x, edge_index, weight).relu(), batch))
    assert torch.equal(net(x, edge_index, edge_weight=weight, batch=batch), expected)
    plain = last(global_mean_pool(first(x, edge_index).relu(), batch))
    assert torch.equal(net(x, edge_index, batch=batch), plain)
    with pytest.raises(TypeError, match="batch"):
        net(x, edge_index)


def test_a_block_of_any_keywords_gets_all():
    class Any(nn.Module):
        def forward(self, x, **given):
            return x + len(given)

    assert BlockNet(Any())(torch.zeros(1), torch.zeros(2, 0), batch=1) == 2


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (GCN, {}),
        (GAT, {"heads": 2, "act": "elu"}),
        (GIN, {"norm": "batch_norm"}),
        (GraphSAGE, {"norm": "batch_norm", "act_first": True}),
        (GCN, {"act": None}),
    ],
)
def test_a_gnn_is_cut_without_a_change(kind, options):
    x, edge_index = graph()
    model = kind(6, 8, num_layers=3, out_channels=4, dropout=0.5, **options).eval()
    net = cut_gnn(model)
    assert len(net) == 3
    assert torch.equal(net(x, edge_index), model(x, edge_index))
    assert {id(p) for p in net.parameters()} == {id(p) for p in model.parameters()}


def test_a_gnn_that_is_no_chain_is_refused():
    with pytest.raises(ValueError, match="jk='cat'"):
        cut_gnn(GCN(6, 8, num_layers=2, out_channels=4, jk="cat"))
    with pytest.raises(ValueError, match="GraphNorm"):
        cut_gnn(GCN(6, 8, num_layers=2, out_channels=4, norm=GraphNorm(8)))
    with pytest.raises(ValueError, match="'blocks'"):
        BlockNet()


def test_copies_are_alike():
    x, edge_index = graph()
    net = graph_blocks(5, "gat")
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(other(x, edge_index), net(x, edge_index))


def test_compiled():
    x, edge_index = graph()
    net = graph_blocks(5)
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    assert torch.allclose(compiled(x, edge_index), net(x, edge_index))
