"""Products with sparse features are those with the same features dense, in layers, too."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import GAT, GCN, GATv2Conv, TransformerConv

from graphkit.nn import accelerate, sparse_features
from graphkit.nn.head_linear import feature_dropout
from graphkit.nn.sparse_features import edges_of, projected, sparse_product
from tests.nn.conv.fused.twins import EDGES

pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")


def features(rows: int = 5, columns: int = 8) -> Tensor:
    dense = torch.randn(rows, columns, dtype=torch.float64)
    return dense.masked_fill(torch.rand(rows, columns) < 0.6, 0).index_fill(0, torch.tensor(1), 0)


@pytest.mark.parametrize("index_dtype", [torch.int64, torch.int32])
def test_values_and_gradients_are_those_of_dense_features(index_dtype: torch.dtype) -> None:
    x, weight = features(), torch.randn(3, 8, dtype=torch.float64, requires_grad=True)
    csr = x.to_sparse_csr()
    places = (csr.crow_indices().to(index_dtype), csr.col_indices().to(index_dtype))
    csr = torch.sparse_csr_tensor(*places, csr.values(), x.shape, check_invariants=False)
    for _ in range(2):
        out = sparse_product(csr, weight)
        torch.testing.assert_close(out, x @ weight.t())
        (grad,) = torch.autograd.grad(out.square().sum(), weight)
        (expected,) = torch.autograd.grad((x @ weight.t()).square().sum(), weight)
        torch.testing.assert_close(grad, expected)


def test_features_without_entries_or_rows() -> None:
    weight = torch.randn(3, 8)
    for rows in (0, 4):
        out = sparse_product(torch.zeros(rows, 8).to_sparse_csr(), weight)
        assert torch.equal(out, torch.zeros(rows, 3))


def test_what_is_known_goes_with_the_features_and_with_a_write_to_them() -> None:
    x, weight = features().to_sparse_csr(), torch.randn(3, 8, dtype=torch.float64)
    assert edges_of(x) is edges_of(x)
    x.values().mul_(2)
    torch.testing.assert_close(sparse_product(x, weight), x.to_dense() @ weight.t())
    x.col_indices().copy_(x.col_indices().flip(0).sort().values * 0)
    assert edges_of(x)[0].eq(0).all()
    gc.collect()
    before = len(sparse_features._EDGES)
    del x
    gc.collect()
    assert len(sparse_features._EDGES) == before - 1


def test_dropout_keeps_the_order_of_the_entries() -> None:
    x = features().to_sparse_csr()
    dropped = feature_dropout(x, 0.5, True)
    assert edges_of(dropped) is edges_of(x)
    weight = torch.randn(3, 8, dtype=torch.float64)
    torch.testing.assert_close(sparse_product(dropped, weight), dropped.to_dense() @ weight.t())


MODELS = {
    "GCN": lambda: GCN(8, 6, 2, 3),
    "GAT": lambda: GAT(8, 6, 2, 3, heads=2),
    "GATv2": lambda: GATv2Conv(8, 3, heads=2, residual=True),
    "Transformer": lambda: TransformerConv(8, 3, heads=2, beta=True),
}


@pytest.mark.parametrize("name", MODELS)
def test_accelerated_models_take_them(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = MODELS[name]().double(), features()
    expected = model(x, EDGES)
    grads = torch.autograd.grad(expected.square().sum(), list(model.parameters()))
    calls: list[Tensor] = []
    product = sparse_features.sparse_product
    monkeypatch.setattr(
        sparse_features, "sparse_product", lambda *words: calls.append(words[0]) or product(*words)
    )
    accelerate(model)
    out = model(x.to_sparse_csr(), EDGES)
    assert calls
    torch.testing.assert_close(out, expected)
    found = torch.autograd.grad(out.square().sum(), list(model.parameters()))
    torch.testing.assert_close(found, grads)


def test_a_map_with_a_hook_or_of_another_kind_is_called() -> None:
    x, lin = features().float().to_sparse_csr(), nn.Linear(8, 3)
    expected = lin(x)
    torch.testing.assert_close(projected(lin, x), expected)
    lin.register_forward_hook(lambda module, inputs, output: 2 * output)
    torch.testing.assert_close(projected(lin, x), 2 * expected)

    handle = nn.modules.module.register_module_forward_hook(lambda module, args, out: 5 * out)
    plain = nn.Linear(8, 3)
    torch.testing.assert_close(projected(plain, x), 5 * plain.forward(x))
    handle.remove()

    class Twice(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return 2 * super().forward(input)

    twice = Twice(8, 3)
    twice.load_state_dict(lin.state_dict())
    torch.testing.assert_close(projected(twice, x), 2 * expected)
