import pytest
import torch
import torch.nn.functional as F

from graphkit.vision import dynamic_conv2d, instance_normalize


def one_by_one(x, weight, bias, padding):
    """Image by image, with PyTorch's own convolution."""
    half = weight.size(3) // 2
    mode = {"zeros": "constant"}.get(padding, padding)
    out = []
    for image, kernel, added in zip(x, weight, bias, strict=True):
        padded = F.pad(image[None], [half] * 4, mode)
        out.append(F.conv2d(padded, kernel, added, groups=image.size(0) // kernel.size(1)))
    return torch.cat(out)


@pytest.mark.parametrize("padding", ["reflect", "replicate", "zeros"])
@pytest.mark.parametrize(("outputs", "inner", "size"), [(6, 1, 3), (6, 6, 1), (4, 3, 3), (6, 2, 5)])
def test_each_image_has_its_own_kernel(padding, outputs, inner, size):
    outputs = outputs if inner != 3 else 4
    x = torch.randn(3, 6, 7, 5, dtype=torch.double)
    weight = torch.randn(3, outputs, inner, size, size, dtype=torch.double)
    bias = torch.randn(3, outputs, dtype=torch.double)
    out = dynamic_conv2d(x, weight, bias, padding)
    assert torch.allclose(out, one_by_one(x, weight, bias, padding))


def test_gradients_reach_all_three():
    x = torch.randn(2, 2, 3, 4, dtype=torch.double, requires_grad=True)
    weight = torch.randn(2, 2, 1, 3, 3, dtype=torch.double, requires_grad=True)
    bias = torch.randn(2, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(dynamic_conv2d, (x, weight, bias))


def test_normalisation_is_that_of_pytorch_and_zero_where_nothing_varies():
    x = 5 * torch.randn(3, 4, 6, 7) + 2
    assert torch.allclose(instance_normalize(x), F.instance_norm(x), atol=1e-5)
    assert torch.equal(instance_normalize(x[..., :1, :1]), torch.zeros(3, 4, 1, 1))
    flat = instance_normalize(torch.full((1, 1, 50, 50), 0.1))
    assert flat.abs().max() < 1e-3
    half = instance_normalize((300 * torch.randn(1, 1, 20, 20)).half())
    assert half.dtype == torch.float16
    assert half.float().std() == pytest.approx(1, abs=0.01)
    y = torch.randn(1, 2, 2, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(instance_normalize, (y,))


def test_nothing_in_nothing_out():
    out = dynamic_conv2d(torch.empty(0, 4, 3, 3), torch.empty(0, 4, 1, 3, 3))
    assert out.shape == (0, 4, 3, 3)


@pytest.mark.vision
def test_offsets_move_what_a_kernel_sees():
    x = torch.randn(2, 3, 6, 6)
    weight, bias = torch.randn(2, 3, 1, 3, 3), torch.randn(2, 3)
    still = torch.zeros(2, 18, 6, 6)
    plain = dynamic_conv2d(x, weight, bias)
    assert torch.allclose(dynamic_conv2d(x, weight, bias, offset=still), plain, atol=1e-5)
    # All places one pixel to the right, of the second image alone.
    still[1, 1::2] = 1.0
    moved = dynamic_conv2d(x, weight, bias, offset=still)
    assert torch.allclose(moved[0], plain[0], atol=1e-5)
    assert torch.allclose(moved[1, :, :, :4], plain[1, :, :, 1:5], atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"x": torch.ones(2, 4, 5)}, "'x'"),
        ({"x": torch.ones(2, 4, 5, 5, dtype=torch.long)}, "'x'"),
        ({"weight": torch.ones(3, 4, 1, 3, 3)}, "'weight'"),
        ({"weight": torch.ones(2, 4, 1, 2, 2)}, "'weight'"),
        ({"weight": torch.ones(2, 4, 3, 3, 3)}, "'weight'"),
        ({"weight": torch.ones(2, 3, 1, 3, 3)}, "'weight'"),
        ({"bias": torch.ones(2, 3)}, "'bias'"),
        ({"padding": "circular"}, "'padding'"),
        ({"x": torch.ones(2, 4, 1, 5)}, "reflected"),
        ({"offset": torch.ones(2, 9, 5, 5)}, "'offset'"),
    ],
)
def test_wrong_arguments_are_named(changes, named):
    given = {"x": torch.ones(2, 4, 5, 5), "weight": torch.ones(2, 4, 1, 3, 3)}
    with pytest.raises(ValueError, match=named):
        dynamic_conv2d(**{**given, **changes})
