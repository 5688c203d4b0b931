"""The auto-encoder of factors: widths, slopes, kinds of layers."""

import torch
from torch import nn

from graphkit.distill.losses.factor_coder import FactorCoder, encoder


def test_layers_are_as_in_the_released_program():
    kinds = [nn.LeakyReLU, *[nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU] * 3]
    layers = list(encoder(6, 4, spatial=True))
    assert [type(layer) for layer in layers] == kinds
    assert {layer.negative_slope for layer in layers if isinstance(layer, nn.LeakyReLU)} == {0.1}
    convs = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels) for c in convs] == [(6, 6), (6, 4), (4, 4)]
    assert all(c.bias is None and c.kernel_size == (3, 3) for c in convs)


def test_maps_keep_their_size_and_vectors_stay_vectors():
    maps, rows = torch.randn(3, 6, 5, 4), torch.randn(3, 6)
    for x, spatial in ((maps, True), (rows, False)):
        # Maps are what is meant unless something else is said.
        coder = FactorCoder(6, 4) if spatial else FactorCoder(6, 4, spatial=False)
        assert coder(x).shape == (3, 4, *x.shape[2:])
        assert coder.reconstruct(x).shape == x.shape
        assert coder.reconstruct(x).min() < 0
