"""The block into the common space and back, layer by layer."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from graphkit.distill.amalgamation.common_space import CommonSpace, Residual, align, layer


def test_maps_are_averaged_to_the_smallest_height_and_width():
    tall, wide = torch.rand(2, 3, 8, 2), torch.rand(2, 5, 4, 6)
    first, second = align([tall, wide])
    assert torch.allclose(first, F.avg_pool2d(tall, (2, 1)))
    assert torch.allclose(second, F.avg_pool2d(wide, (1, 3)))
    small = torch.rand(1, 1, 2, 2)
    assert align([small, tall])[0] is small


def test_layers_keep_height_and_width():
    conv = layer(2, 3, 3, spatial=True)
    assert (conv.kernel_size, conv.padding, conv.bias) == ((3, 3), (1, 1), None)
    assert layer(2, 3, 1, spatial=True).padding == (0, 0)
    linear = layer(2, 3, 3, spatial=False)
    assert isinstance(linear, nn.Linear)
    assert (linear.weight.shape, linear.bias) == ((3, 2), None)


@pytest.mark.parametrize("channels", [(3, 4), (4, 4)])
def test_a_way_around_two_layers(channels):
    block = Residual(*channels, spatial=False)
    x = torch.randn(5, channels[0])
    around = x if channels[0] == channels[1] else x @ block.skip.weight.t()
    inner = (x @ block.first.weight.t()).relu() @ block.second.weight.t()
    assert torch.allclose(block(x), (inner + around).relu(), atol=1e-6)
    maps = Residual(*channels, spatial=True)
    assert maps(torch.randn(2, channels[0], 3, 5)).shape == (2, channels[1], 3, 5)
    skip = getattr(maps.skip, "kernel_size", None)
    assert skip == (None if channels[0] == channels[1] else (1, 1))
    assert (maps.first.kernel_size, maps.second.kernel_size) == ((3, 3), (3, 3))


def test_into_the_space_and_back():
    space = CommonSpace([3, 4, 5], hidden_channels=6)
    maps = [torch.randn(2, 3, 4, 4), torch.randn(2, 4, 4, 4), torch.randn(2, 5, 8, 4)]
    common = space(maps)
    assert [h.shape for h in common] == [(2, 6, 4, 4)] * 3
    pooled = F.avg_pool2d(maps[2], (2, 1))
    assert torch.allclose(common[2], space.extractor(space.adapt[2](pooled).relu()), atol=1e-6)
    back = space.decode(common)
    assert [h.shape for h in back] == [(2, 4, 4, 4), (2, 5, 4, 4)], "of the teachers alone"
    assert torch.equal(back[1], space.decoders[1](common[2]))
    assert [adapt.weight.shape[:2] for adapt in space.adapt] == [(12, 3), (12, 4), (12, 5)]
    assert all(adapt.kernel_size == (1, 1) for adapt in space.adapt)
    kernels = [[m.kernel_size for m in d if isinstance(m, nn.Conv2d)] for d in space.decoders]
    assert kernels == [[(3, 3), (1, 1)]] * 2
    assert [block.first.in_channels for block in space.extractor] == [12, 6, 6]


def test_vectors_and_defaults():
    space = CommonSpace([3, 4], spatial=False)
    vectors = [torch.randn(2, 3), torch.randn(2, 4)]
    assert [h.shape for h in space(vectors)] == [(2, 128)] * 2
    assert space.align(vectors)[0] is vectors[0]
    assert CommonSpace([3, 4]).spatial
