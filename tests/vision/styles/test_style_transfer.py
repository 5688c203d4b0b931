import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from graphkit.vision import DINStyleTransfer, StyleEncoder, content_loss, style_loss


def make(mode="depthwise"):
    torch.manual_seed(0)
    encoder = StyleEncoder(widths=(4, 6, 8, 10))
    return DINStyleTransfer(encoder, encoder.out_channels, widths=(8, 12, 16), mode=mode)


def test_the_style_encoder_is_vgg_up_to_its_fourth_stage():
    encoder = StyleEncoder()
    assert sum(p.numel() for p in encoder.parameters()) == 3_505_728
    assert [m.out_channels for m in encoder if isinstance(m, torch.nn.Conv2d)] == (
        [64] * 2 + [128] * 2 + [256] * 4 + [512]
    )


@pytest.mark.vision
def test_the_weights_of_torchvision_fit():
    from torchvision.models import vgg19

    features = vgg19(weights=None).features[:21]
    encoder = StyleEncoder()
    encoder.load_state_dict(features.state_dict())
    x = torch.rand(1, 3, 32, 32)
    assert torch.allclose(encoder(x), features(x), atol=1e-6)


@pytest.mark.parametrize("mode", ["depthwise", "full"])
def test_kept_kernels_give_what_the_style_gives(mode):
    model = make(mode)
    x, style = torch.rand(2, 3, 24, 20), torch.rand(1, 3, 16, 16)
    calls = []
    model.style_encoder.register_forward_hook(lambda *_: calls.append(1))
    kernels = model.kernels(style)
    first, second = model(x, kernels), model(x, kernels)
    assert len(calls) == 1
    assert torch.equal(first, second)
    assert torch.allclose(model(x, style), first, atol=1e-5)
    assert first.shape == x.shape
    # Of every style and image, each with its own.
    both = torch.rand(2, 3, 16, 16)
    alone = torch.cat([model(x[i : i + 1], both[i : i + 1]) for i in range(2)])
    assert torch.allclose(model(x, both), alone, atol=1e-4)


def test_every_parameter_is_trained():
    model = make()
    x, style = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    model(x, style).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_the_content_path_is_light():
    """Twenty times fewer multiplications than VGG up to relu4_1 and back, as the paper says."""
    with torch.device("meta"):
        model, x = DINStyleTransfer(StyleEncoder(), 512), torch.empty(1, 3, 256, 256)
        kernels = model.kernels(x)
        with FlopCounterMode(display=False) as light:
            model(x, kernels)
        with FlopCounterMode(display=False) as heavy:
            model.style_encoder(x)
    assert 2 * heavy.get_total_flops() > 20 * light.get_total_flops()


def test_losses_by_hand():
    made, style = torch.randn(2, 3, 5, 5), torch.randn(2, 3, 4, 4)
    deviations = [(m.var((2, 3), correction=0) + 1e-5).sqrt() for m in (made, style)]
    by_hand = (made.mean((2, 3)) - style.mean((2, 3))).square().mean()
    by_hand = by_hand + (deviations[0] - deviations[1]).square().mean()
    assert torch.allclose(style_loss([made, made], [style, style]), 2 * by_hand)
    assert style_loss([made], [made.flip(3)]) < 1e-12
    assert content_loss(made, made) == 0
    expected = F.mse_loss(F.instance_norm(made), F.instance_norm(made.flip(3)))
    assert torch.allclose(content_loss(made, made.flip(3)), expected)
    flat = torch.ones(1, 2, 3, 3, requires_grad=True)
    style_loss([flat], [torch.zeros(1, 2, 3, 3)]).backward()
    assert flat.grad.isfinite().all()


def test_wrong_arguments_are_named():
    model = make()
    with pytest.raises(ValueError, match="multiples of 4"):
        model(torch.rand(1, 3, 18, 16), torch.rand(1, 3, 16, 16))
    with pytest.raises(ValueError, match="'style' has 1 kernels"):
        model(torch.rand(1, 3, 16, 16), model.kernels(torch.rand(1, 3, 16, 16))[:1])
    with pytest.raises(ValueError, match="'widths'"):
        StyleEncoder(widths=(4, 8))
    with pytest.raises(ValueError, match="'widths'"):
        DINStyleTransfer(StyleEncoder(widths=(1, 1, 1, 1)), 1, widths=())
    with pytest.raises(ValueError, match="layers"):
        style_loss([], [])
    with pytest.raises(ValueError, match="'content'"):
        content_loss(torch.rand(1, 2, 3, 3), torch.rand(1, 2, 3, 4))


def test_the_style_encoder_layer_by_layer():
    encoder, h = StyleEncoder(2, (3, 4, 5, 6)), torch.rand(1, 2, 16, 24)
    wanted, w = h, dict(encoder.named_parameters())
    for at in (0, 2, "pool", 5, 7, "pool", 10, 12, 14, 16, "pool", 19):
        if at == "pool":
            wanted = F.max_pool2d(wanted, 2)
        else:
            wanted = F.conv2d(wanted, w[f"{at}.weight"], w[f"{at}.bias"], padding=1).relu()
    assert torch.allclose(encoder(h), wanted, atol=1e-6)
    assert encoder.out_channels == 6
    assert len(w) == 18


def test_the_content_path_layer_by_layer():
    model = make()
    x, style = torch.rand(1, 3, 16, 12), torch.rand(1, 3, 16, 16)
    w, made = dict(model.named_parameters()), model.kernels(style)

    def conv(h, name, stride=1, groups=1, pad=1):
        h = F.pad(h, [pad] * 4, "reflect") if pad else h
        return F.conv2d(h, w[f"{name}.weight"], w[f"{name}.bias"], stride, groups=groups)

    def block(h, name, stride):
        return conv(conv(h, f"{name}.1", stride, h.size(1)).relu(), f"{name}.3", pad=0)

    h = conv(x, "stem")
    for at in (0, 1):
        h = block(h.relu(), f"down.{at}", 2)
    h = model.norms[0](h, made[0])
    for at in (0, 1):
        h = h.relu().repeat_interleave(2, 2).repeat_interleave(2, 3)
        h = model.norms[at + 1](block(h, f"up.{at}", 1), made[at + 1])
    assert torch.allclose(model(x, style), conv(h.relu(), "out"), atol=1e-5)
    assert [norm.kernel_size for norm in model.norms] == [1, 3, 3]


def test_one_width_is_one_layer():
    encoder = StyleEncoder(widths=(1, 1, 1, 1))
    model = DINStyleTransfer(encoder, 1, widths=(4,))
    assert (model.scale, len(model.norms)) == (1, 1)
    assert model(torch.rand(1, 3, 5, 7), torch.rand(1, 3, 8, 8)).shape == (1, 3, 5, 7)
