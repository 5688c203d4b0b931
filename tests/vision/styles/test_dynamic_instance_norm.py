import copy
import importlib.util
import pickle

import pytest
import torch
import torch.nn.functional as F

from graphkit.vision import DynamicInstanceNorm, StyleKernel


def make(size=3, mode="depthwise", **options):
    torch.manual_seed(0)
    layer = DynamicInstanceNorm(6, 5, size, mode, **options)
    with torch.no_grad():
        # Off the beginning, where styles hardly matter.
        for parameter in layer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return layer


def pair(count=4):
    torch.manual_seed(1)
    return torch.randn(count, 6, 7, 8), torch.randn(count, 5, 4, 4)


def test_moments_as_kernel_are_adain():
    content, style = 2 * torch.randn(3, 6, 9, 9) - 1, 3 * torch.randn(3, 6, 5, 5) + 4
    mean, deviation = style.mean((2, 3)), style.std((2, 3), correction=0)
    kernel = StyleKernel(deviation.view(3, 6, 1, 1, 1), mean)
    out = DynamicInstanceNorm(6, 5)(content, kernel)
    flat = content.flatten(2)
    spread = (flat.var(2, correction=0) + 1e-5).sqrt()
    by_hand = (flat - flat.mean(2, keepdim=True)) / spread[..., None]
    by_hand = by_hand * deviation[..., None] + mean[..., None]
    assert (out.flatten(2) - by_hand).abs().max() < 1e-5


@pytest.mark.parametrize("options", [{}, {"mode": "full"}, {"mode": "full", "groups": 3}])
def test_a_fresh_layer_is_instance_norm(options):
    layer = DynamicInstanceNorm(6, 5, 3, **options)
    for net in (layer.weight_net, layer.bias_net):
        for parameter in net[-1].parameters():
            torch.nn.init.zeros_(parameter)
    content, style = pair()
    assert torch.allclose(layer(content, style), F.instance_norm(content), atol=1e-5)
    fresh = DynamicInstanceNorm(6, 5, 3, **options)
    weight, bias = fresh.kernel(style)
    assert (weight - fresh.identity(weight)).abs().max() < 0.3
    assert bias.abs().max() < 0.3


@pytest.mark.parametrize("mode", ["depthwise", "full"])
def test_contrast_and_brightness_of_the_content_do_not_matter(mode):
    layer, (content, style) = make(3, mode), pair()
    scaled = content * torch.rand(4, 6, 1, 1).add(0.5) + torch.randn(4, 6, 1, 1)
    assert torch.allclose(layer(scaled, style), layer(content, style), atol=1e-3)


@pytest.mark.parametrize("mode", ["depthwise", "full"])
def test_images_do_not_touch_and_one_style_serves_all(mode):
    layer, (content, style) = make(3, mode), pair()
    together = layer(content, style)
    alone = torch.cat([layer(c[None], s[None]) for c, s in zip(content, style, strict=True)])
    assert torch.allclose(together, alone, atol=1e-5)
    shared = layer(content, style[:1])
    assert torch.allclose(shared, layer(content, style[:1].expand(4, -1, -1, -1)), atol=1e-5)
    assert not torch.allclose(shared[1], together[1], atol=1e-2)


def test_a_delta_kernel_of_three_is_one_of_one():
    content, _ = pair()
    small = StyleKernel(torch.randn(4, 6, 1, 1, 1), torch.randn(4, 6))
    large = StyleKernel(F.pad(small.weight, [1] * 4), small.bias)
    first, second = DynamicInstanceNorm(6, 5, 1), DynamicInstanceNorm(6, 5, 3)
    assert torch.allclose(first(content, small), second(content, large), atol=1e-6)


def test_a_constant_content_leaves_the_bias():
    layer, style = make(), pair(2)[1]
    for content in (torch.full((2, 6, 5, 5), 0.3), torch.ones(2, 6, 2, 2)):
        out = layer(content, style)
        wanted = layer.kernel(style).bias[..., None, None].expand_as(out)
        assert torch.allclose(out, wanted, atol=1e-3)


def test_a_kept_style_is_encoded_once():
    layer, (content, style) = make(), pair()
    calls = []
    layer.weight_net.register_forward_hook(lambda *_: calls.append(1))
    kernel = layer.kernel(style[:1])
    frames = [layer(content, kernel) for _ in range(5)]
    assert len(calls) == 1
    assert torch.allclose(frames[0], layer(content, style[:1]))


def test_gradients_copies_types_and_compile():
    layer, (content, style) = make(), pair()
    layer(content, style).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in layer.parameters())
    wide, given = copy.deepcopy(layer).double(), [part[:2].double() for part in (content, style)]
    for part in given:
        part.requires_grad_()
    assert torch.autograd.gradcheck(lambda c, s: wide(c, s), (given[0][..., :3, :3], given[1]))
    expected = layer(content, style)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(other(content, style), expected)
    half = copy.deepcopy(layer).bfloat16()(content.bfloat16(), style.bfloat16())
    assert torch.allclose(half.float(), expected, atol=0.2)
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert torch.allclose(compiled(content, style), expected, atol=1e-5)
    assert layer(content[:0], style[:0]).shape == (0, 6, 7, 8)


@pytest.mark.vision
def test_the_deformable_form_begins_as_the_depthwise_one():
    torch.manual_seed(0)
    layer, (content, style) = DynamicInstanceNorm(6, 5, 3, "deformable"), pair()
    plain = DynamicInstanceNorm(6, 5, 3)
    plain.load_state_dict(layer.state_dict(), strict=False)
    assert torch.allclose(layer(content, style), plain(content, style), atol=1e-5)
    torch.nn.init.normal_(layer.offset.bias)
    assert not torch.allclose(layer(content, style), plain(content, style), atol=1e-2)
    layer(content, style).sum().backward()
    assert layer.offset.weight.grad.abs().sum() > 0


@pytest.mark.skipif(bool(importlib.util.find_spec("torchvision")), reason="torchvision is there")
def test_without_torchvision_the_extra_is_named():
    with pytest.raises(ImportError, match=r"graphkit\[vision\]"):
        DynamicInstanceNorm(6, 5, 3, "deformable")(*pair())


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"kernel_size": 2}, "kernel_size"),
        ({"mode": "sparse"}, "mode"),
        ({"padding": "circular"}, "padding"),
        ({"groups": 2}, "groups"),
        ({"groups": 4, "mode": "full"}, "groups"),
        ({"hidden_channels": 0}, "hidden_channels"),
    ],
)
def test_wrong_options_are_named(options, named):
    with pytest.raises(ValueError, match=named):
        DynamicInstanceNorm(6, 5, **options)


def test_wrong_input_is_named():
    layer, (content, style) = make(), pair()
    with pytest.raises(ValueError, match="'content'"):
        layer(content[:, :4], style)
    for wrong in (style[:, :4], style[:2], style[0]):
        with pytest.raises(ValueError, match="'style'"):
            layer(content, wrong)
    with pytest.raises(ValueError, match="'style'"):
        layer(content, DynamicInstanceNorm(6, 5, 1).kernel(style))
