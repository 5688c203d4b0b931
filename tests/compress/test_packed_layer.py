import copy
import pickle

import pytest
import torch
from torch import nn
from torch_geometric.nn.dense import Linear

from graphkit.compress import PackedLayer, stored_bytes
from graphkit.compress.packed_layer import pack_bits, unpack_bits


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("count", [0, 1, 7, 8, 33])
def test_packed_numbers_come_back(bits, count):
    codes = torch.randint(1 << bits, (count,))
    packed = pack_bits(codes, bits)
    assert packed.dtype == torch.uint8
    assert len(packed) == -(-count * bits // 8)
    assert torch.equal(unpack_bits(packed, bits, count).long(), codes)


LAYERS = {
    "linear": (lambda: nn.Linear(6, 5), (4, 3, 6)),
    "pyg": (lambda: Linear(6, 5, bias=False), (3, 6)),
    "conv": (lambda: nn.Conv2d(2, 4, 3, stride=2), (2, 2, 7, 7)),
    "grouped": (lambda: nn.Conv1d(4, 4, 3, groups=2), (2, 4, 7)),
}
VALUES = torch.tensor([-0.5, 0.0, 0.5])


@pytest.mark.parametrize(
    ("kind", "execution"),
    [(kind, "unpack") for kind in LAYERS] + [("linear", "edges"), ("pyg", "edges")],
)
def test_a_packed_layer_is_the_layer(kind, execution):
    make, shape = LAYERS[kind]
    plain, x = make(), torch.randn(shape)
    codes = torch.randint(3, plain.weight.shape)
    with torch.no_grad():
        plain.weight.copy_(VALUES[codes])
    packed = PackedLayer(copy.deepcopy(plain), "weight", codes, VALUES, execution)
    assert torch.allclose(packed(x), plain(x), atol=1e-6)
    assert torch.equal(packed.weight, plain.weight)
    assert packed.bits == 2
    compiled = torch.compile(packed, backend="eager", fullgraph=True)
    for other in (copy.deepcopy(packed), pickle.loads(pickle.dumps(packed)), compiled):
        assert torch.allclose(other(x), plain(x), atol=1e-6)
    # Other codes, read from a file, are other weights and other edges.
    fresh = PackedLayer(make(), "weight", torch.zeros_like(codes), VALUES, execution)
    fresh.load_state_dict(packed.state_dict())
    assert torch.allclose(fresh(x), plain(x), atol=1e-6)
    x.requires_grad_()
    grads = [torch.autograd.grad(net(x).square().sum(), x)[0] for net in (packed, plain)]
    assert torch.allclose(*grads, atol=1e-5)


@pytest.mark.parametrize(
    ("count", "bits"),
    [(1, 1), (2, 1), (3, 2), (4, 2), (5, 4), (16, 4), (17, 8), (256, 8)],
)
def test_as_few_bits_as_hold_the_codes(count, bits):
    values = torch.linspace(-1, 1, count)
    codes = torch.arange(64).view(8, 8) * 7 % count
    codes[0, 0] = count - 1
    packed = PackedLayer(nn.Linear(8, 8, False), "weight", codes, values)
    assert packed.bits == bits
    assert packed.packed.numel() == 64 * bits // 8
    assert torch.equal(packed.weight, values[codes])


def test_two_bits_take_a_sixteenth():
    plain = nn.Linear(64, 64, bias=False)
    full = stored_bytes(plain)
    packed = PackedLayer(plain, "weight", torch.randint(3, (64, 64)), VALUES)
    assert full == 4 * 64 * 64
    assert stored_bytes(packed) == full // 16 + 4 * len(VALUES)
    edges = PackedLayer(
        nn.Linear(64, 64, False), "weight", torch.ones(64, 64).long(), VALUES, "edges"
    )
    assert stored_bytes(edges) == stored_bytes(packed)
    assert edges.edge_index.numel() == 0
    assert edges(torch.rand(2, 64)).abs().max() == 0


def test_wrong_arguments_are_named():
    codes = torch.zeros(3, 2).long()
    with pytest.raises(ValueError, match="'codes' must lie in 0 … 2"):
        PackedLayer(nn.Linear(2, 3), "weight", codes + 3, VALUES)
    with pytest.raises(ValueError, match="'execution' must"):
        PackedLayer(nn.Linear(2, 3), "weight", codes, VALUES, "sparse")
    with pytest.raises(ValueError, match="needs a linear layer, got Conv1d"):
        PackedLayer(nn.Conv1d(2, 3, 1), "weight", codes.unsqueeze(2), VALUES, "edges")
    with pytest.raises(ValueError, match="'x' must have 2 channels"):
        PackedLayer(nn.Linear(2, 3), "weight", codes, VALUES, "edges")(torch.rand(4, 3))
    with pytest.raises(AttributeError, match="nothing"):
        _ = PackedLayer(nn.Linear(2, 3), "weight", codes, VALUES).nothing
