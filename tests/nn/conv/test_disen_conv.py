import pytest
import torch
import torch.nn.functional as F

from graphkit.nn import DisenConv
from graphkit.testing import LayerSuite, dense_adjacency


def dense_routing(layer, x, edge_index):
    """The rounds written with full matrices: output and last shares [target, source, factor]."""
    z = (x @ layer.lin.weight.t() + layer.lin.bias).relu()
    z = F.normalize(z.view(x.size(0), layer.num_factors, -1), dim=-1)
    adj = dense_adjacency(edge_index, x.size(0), dtype=x.dtype)
    centre, share = z, None
    for _ in range(layer.num_routings):
        share = (torch.einsum("jkc,ikc->ijk", z, centre) / layer.temperature).softmax(-1)
        summed = torch.einsum("ij,ijk,jkc->ikc", adj, share, z)
        centre = F.normalize(z + summed, dim=-1)
    return centre.flatten(1), share


class TestDisenConv(LayerSuite):
    not_claimed = {
        "attention_explainer": "PyG takes the largest share of all rounds, not the last one"
    }

    def make(self):
        return DisenConv(8, 24, num_factors=2, num_routings=3, temperature=0.7)

    def dense_reference(self, layer, x, edge_index):
        return dense_routing(layer, x, edge_index)[0]

    def dense_attention(self, layer, x, edge_index):
        return dense_routing(layer, x, edge_index)[1]


def test_shares_of_an_edge_add_up_to_one():
    edge_index = torch.randint(20, (2, 60))
    out, (edges, share) = DisenConv(5, 12, 4)(torch.randn(20, 5), edge_index, True)
    assert torch.equal(edges, edge_index)
    assert torch.allclose(share.sum(1), torch.ones(60))
    assert torch.allclose(out.view(20, 4, 3).norm(dim=-1).amax(), torch.tensor(1.0))


def test_one_factor_takes_whole_edges():
    edge_index = torch.randint(20, (2, 60))
    layer, x = DisenConv(5, 12, 1, num_routings=4).double(), torch.randn(20, 5).double()
    z = F.normalize(layer.lin(x).relu(), dim=-1)
    expected = F.normalize(z + dense_adjacency(edge_index, 20) @ z, dim=-1)
    assert torch.allclose(layer(x, edge_index), expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [("num_factors", 0), ("num_factors", 3), ("num_routings", 0), ("temperature", 0.0)],
)
def test_refuses_wrong_options(name, value):
    with pytest.raises(ValueError, match=name):
        DisenConv(4, 8, **{"num_factors": 2, name: value})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_nodes_without_features_are_no_nan_in_half_precision(dtype: torch.dtype) -> None:
    """1e-12 is 0 in float16, and 0 / 0 made every node NaN that heard of an empty one."""
    conv = DisenConv(4, 8, 2, bias=False).to(dtype)
    x = torch.randn(3, 4).to(dtype)
    x[0] = 0
    x.requires_grad_()
    out = conv(x, torch.tensor([[0, 1, 2], [1, 2, 0]]))
    assert out.isfinite().all()
    out.sum().backward()
    assert x.grad.isfinite().all()
