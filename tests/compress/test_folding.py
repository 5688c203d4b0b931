import pytest
import torch
from torch import nn

from graphkit.compress import fold
from tests.compress.networks import graph, make_conv


def affine(x, weight, bias):
    """Ax + b in the channels, dimension 1."""
    out = torch.einsum("oc,nc...->no...", weight, x)
    return out if bias is None else out + bias.view(-1, *[1] * (x.dim() - 2))


LAYERS = {
    "conv1d": (lambda: nn.Conv1d(4, 6, 3), (5, 4, 9)),
    "conv2d": (lambda: nn.Conv2d(4, 6, (3, 2), stride=2, bias=False), (5, 4, 9, 7)),
    "conv3d": (lambda: nn.Conv3d(4, 6, 2, dilation=2), (2, 4, 5, 6, 5)),
    "reflect": (lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), (5, 4, 6, 6)),
    "linear": (lambda: nn.Linear(4, 6, bias=False), (5, 4)),
    "flattened": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(4 * 6, 3)), (5, 4, 2, 3)),
    "pooled": (lambda: nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU()), (5, 4, 8, 8)),
}


@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_the_map_is_taken_up(name, shift):
    make, size = LAYERS[name]
    layer, x = make().double(), torch.randn(size, dtype=torch.double)
    weight = torch.randn(4, 4, dtype=torch.double)
    bias = torch.randn(4, dtype=torch.double) if shift else None
    before = layer(affine(x, weight, bias))
    fold(layer, weight, bias)
    assert torch.allclose(layer(x), before, atol=1e-10)


@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("kind", ["gcn", "sage", "gat", "gin", "graph", "tag"])
def test_message_passing_takes_it_up(kind, shift):
    x, edge_index = graph()
    x, conv = x.double(), make_conv(kind, 6, 6).double()
    weight = torch.randn(6, 6, dtype=torch.double)
    bias = torch.randn(6, dtype=torch.double) if shift and kind in ("gcn", "gat") else None
    before = conv(affine(x, weight, bias), edge_index)
    fold(conv, weight, bias)
    assert torch.allclose(conv(x, edge_index), before, atol=1e-10)


@pytest.mark.parametrize(
    "block",
    [
        nn.ReLU(),
        nn.BatchNorm2d(4),
        nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)),
        nn.Conv2d(4, 4, 1, groups=2),
        nn.Linear(6, 3),
    ],
)
def test_what_cannot_take_it_up_says_so(block):
    with pytest.raises(ValueError, match=r"linear layer|take up a map of 4"):
        fold(block, torch.eye(4))


def test_a_class_in_place_of_a_block_is_named():
    with pytest.raises(TypeError, match="'block' is the class Linear"):
        fold(nn.Linear, torch.eye(2))
