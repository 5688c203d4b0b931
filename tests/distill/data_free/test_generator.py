"""Images from noise: sizes, scale, what is refused."""

import pytest
import torch
import torch.nn.functional as F

from graphkit.distill import ImageGenerator
from graphkit.distill.data_free.generator import DoublingConv2d, normalise


@pytest.mark.parametrize(
    ("size", "kind"), [(8, "upsample"), (28, "upsample"), (8, "dcgan"), (32, "dcgan")]
)
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_sizes_and_gradients(size, kind, norm):
    generator = ImageGenerator(6, 3, size, 4, kind, norm)
    z = torch.randn(5, 6, requires_grad=True)
    images = generator(z)
    assert images.shape == (5, 3, size, size)
    (images * torch.rand_like(images)).sum().backward()
    assert z.grad.any(1).all()
    assert all(p.grad is not None for p in generator.parameters())


def test_every_channel_is_standardised():
    images = ImageGenerator(6, 3, 8, 4)(torch.randn(64, 6))
    assert images.mean((0, 2, 3)).abs().max() < 1e-3
    assert (images.var((0, 2, 3)) - 1).abs().max() < 1e-3
    raw = ImageGenerator(6, 3, 8, 4, standardised=False)(torch.randn(64, 6))
    assert raw.abs().max() <= 1


def test_the_released_layers():
    """Linear, normalisation without an activation after it, two doubling convolutions."""
    kinds = [type(layer).__name__ for layer in ImageGenerator(100, 1, 28, 64).layers]
    block = ["DoublingConv2d", "BatchNorm2d", "LeakyReLU"]
    start = ["Linear", "Unflatten", "BatchNorm2d"]
    assert kinds == [*start, *block, *block, "Conv2d", "Tanh", "BatchNorm2d"]
    assert ImageGenerator(100, 1, 28, 64).layers[0].out_features == 128 * 49


def test_groups_do_not_mix_samples():
    generator = ImageGenerator(6, 1, 8, 4, norm="group", standardised=False).double()
    z = torch.randn(4, 6).double()
    torch.testing.assert_close(generator(z)[:1], generator(z[:1]))


def test_wrong_arguments_are_named():
    for match, options in (
        ("'noise_channels'", {"noise_channels": 0}),
        ("'channels'", {"channels": 0}),
        ("'hidden_channels'", {"hidden_channels": 0}),
        ("multiple of 4, got 10", {"size": 10}),
        ("8, 16, 32, …, got 28", {"kind": "dcgan", "size": 28}),
        ("8, 16, 32, …, got 4", {"kind": "dcgan", "size": 4}),
        ("'kind'", {"kind": "b"}),
        ("'norm'", {"norm": "layer"}),
    ):
        with pytest.raises(ValueError, match=match):
            ImageGenerator(**{"noise_channels": 6, "size": 8} | options)
    generator = ImageGenerator(6, size=8, hidden_channels=4)
    with pytest.raises(ValueError, match=r"\[B, 6\], got \[3, 5\]"):
        generator(torch.randn(3, 5))
    with pytest.raises(ValueError, match="no sample"):
        generator(torch.randn(0, 6))


def test_doubling_and_convolving_in_one_step_is_both_in_two():
    layer = DoublingConv2d(3, 5, 3, 1, 1).double()
    x = torch.randn(2, 3, 6, 7, dtype=torch.double, requires_grad=True)
    doubled = F.interpolate(x, scale_factor=2.0)
    expected = F.conv2d(doubled, layer.weight, layer.bias, padding=1)
    out = layer(x)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)
    weights = torch.randn_like(out)
    ends = [x, layer.weight, layer.bias]
    ours, theirs = (torch.autograd.grad((o * weights).sum(), ends) for o in (out, expected))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_the_network_layer_by_layer():
    model = ImageGenerator(3, 2, 8, 4, standardised=False).eval()
    w, z = dict(model.named_parameters()), torch.randn(5, 3)

    def norm(h, at):
        layer = model.layers[at]
        return F.batch_norm(h, layer.running_mean, layer.running_var, layer.weight, layer.bias)

    h = (z @ w["layers.0.weight"].t() + w["layers.0.bias"]).view(5, 8, 2, 2)
    h = norm(h, 2)
    for at in (3, 6):
        h = h.repeat_interleave(2, 2).repeat_interleave(2, 3)
        h = F.conv2d(h, w[f"layers.{at}.weight"], w[f"layers.{at}.bias"], padding=1)
        h = F.leaky_relu(norm(h, at + 1), 0.2)
    h = F.conv2d(h, w["layers.9.weight"], w["layers.9.bias"], padding=1).tanh()
    torch.testing.assert_close(model(z), h, atol=1e-5, rtol=1e-4)
    widths = [w[f"layers.{at}.weight"].shape[:2] for at in (3, 6, 9)]
    assert widths == [(8, 8), (4, 8), (2, 4)]


def test_the_other_network_layer_by_layer():
    model = ImageGenerator(3, 2, 16, 4, "dcgan", standardised=False).eval()
    w, z = dict(model.named_parameters()), torch.randn(5, 3)

    def norm(h, at):
        layer = model.layers[at]
        return F.batch_norm(h, layer.running_mean, layer.running_var, layer.weight, layer.bias)

    h = norm((z @ w["layers.0.weight"].t()).view(5, 8, 4, 4), 2).relu()
    h = F.conv_transpose2d(h, w["layers.4.weight"], stride=2, padding=1)
    h = norm(h, 5).relu()
    h = F.conv_transpose2d(h, w["layers.7.weight"], w["layers.7.bias"], stride=2, padding=1)
    torch.testing.assert_close(model(z), h.tanh(), atol=1e-5, rtol=1e-4)
    assert [w[f"layers.{at}.weight"].shape[:2] for at in (4, 7)] == [(8, 4), (4, 2)]
    assert not {"layers.0.bias", "layers.4.bias"} & {*w}


@pytest.mark.parametrize(
    ("channels", "groups"), [(16, 8), (8, 8), (12, 4), (4, 4), (6, 2), (2, 2), (5, 1), (1, 1)]
)
def test_as_many_groups_as_divide_the_channels(channels, groups):
    assert normalise(channels, "group").num_groups == groups
    assert isinstance(normalise(channels, "batch"), torch.nn.BatchNorm2d)


def test_images_are_one_piece_of_memory_and_the_last_norm_learns_nothing():
    model = ImageGenerator(3, 2, 8, 4)
    assert model(torch.randn(4, 3)).is_contiguous()
    assert not model.layers[-1].affine
    assert ImageGenerator(3, size=4).layers[0].out_features == 128
