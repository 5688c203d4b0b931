import pytest
import torch

from graphkit.nn.head_linear import HeadLinear, feature_dropout, head_products

pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")


def test_sparse_and_dense_features_give_the_same():
    dense = torch.randn(7, 5, dtype=torch.float64) * (torch.rand(7, 5) < 0.4)
    dense[3] = 0.0
    for bias in (True, False):
        linear = HeadLinear(-1, 3, heads=2, bias=bias, init="authors").double()
        results = []
        for x in (dense, dense.to_sparse_csr()):
            out = linear(x)
            grads = torch.autograd.grad(out.square().sum(), list(linear.parameters()))
            results.append([out, *grads])
        assert results[0][0].shape == (7, 6)
        for found, wanted in zip(*results, strict=True):
            torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(linear(dense), dense @ linear.weight.t())


def test_scale_of_the_start_is_that_of_one_head():
    linear = HeadLinear(600, 8, heads=50, init="authors")
    assert linear.weight.std().item() == pytest.approx((2 * 2 / (600 + 8)) ** 0.5, rel=0.05)
    assert linear.bias.std().item() == pytest.approx((2 * 2 / (1 + 8)) ** 0.5, rel=0.1)
    assert not HeadLinear(6, 8).bias.any()


def test_dropout_of_sparse_features_scales_what_it_keeps():
    x = torch.ones(50, 40).to_sparse_csr()
    dropped = feature_dropout(x, 0.6, training=True)
    values = dropped.values()
    assert set(values.unique().tolist()) == {0.0, 2.5}
    assert values.mean().item() == pytest.approx(1.0, abs=0.15)
    assert torch.equal(dropped.col_indices(), x.col_indices())
    assert feature_dropout(x, 0.6, training=False) is not None
    assert torch.equal(feature_dropout(x, 0.6, training=False).to_dense(), torch.ones(50, 40))
    assert torch.equal(feature_dropout(torch.ones(3, 2), 1.0, True), torch.zeros(3, 2))


def test_wrong_widths_layouts_and_options_are_refused():
    with pytest.raises(ValueError, match="'x' must have 5 channels"):
        HeadLinear(5, 3)(torch.ones(2, 4))
    with pytest.raises(ValueError, match="sparse CSR"):
        HeadLinear(5, 3)(torch.ones(2, 5).to_sparse())
    with pytest.raises(ValueError, match="'init'"):
        HeadLinear(5, 3, init="ones")


@pytest.mark.parametrize("shape", [(7,), (2, 7), (0,)])
@pytest.mark.parametrize("count", [1, 3])
def test_head_products_are_sums_of_products_and_so_are_their_gradients(shape, count):
    x = torch.randn(*shape, 4, 5, dtype=torch.double, requires_grad=True)
    vectors = torch.randn(count, 4, 5, dtype=torch.double, requires_grad=True)
    products = head_products(x, vectors)
    wanted = [(x * vector).sum(-1) for vector in vectors]
    assert len(products) == count
    for one, other in zip(products, wanted, strict=True):
        torch.testing.assert_close(one, other)
    weights = [torch.randn_like(one) for one in wanted]
    grads = [
        torch.autograd.grad(list(some), (x, vectors), weights, retain_graph=True)
        for some in (products, wanted)
    ]
    torch.testing.assert_close(grads[0], grads[1])


def test_head_products_have_the_type_of_the_features():
    products = head_products(torch.rand(3, 2, 4, dtype=torch.bfloat16), torch.rand(1, 2, 4))
    assert products[0].dtype == torch.bfloat16
