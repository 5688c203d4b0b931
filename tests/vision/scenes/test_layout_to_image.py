import pytest
import torch
import torch.nn.functional as F

from graphkit.vision import LayoutToImage


def test_images_of_the_layouts_size():
    model = LayoutToImage(5, (8, 6, 4), image_channels=3).eval()
    layout = torch.randn(2, 5, 16, 16)
    images = model(layout)
    assert images.shape == (2, 3, 16, 16)
    assert 0 <= images.min() < images.max() <= 1
    assert torch.allclose(model(layout[1:]), images[1:], atol=1e-6)


def test_every_stage_sees_the_layout():
    model = LayoutToImage(3, (4, 4, 4), image_channels=1).eval()
    layout = torch.randn(1, 3, 16, 16, requires_grad=True)
    model(layout).sum().backward()
    assert (layout.grad.abs() > 0).float().mean() > 0.99
    for module in model.stages:
        assert module[0].weight.grad.abs().sum() > 0


def test_learns_to_paint_a_colour():
    torch.manual_seed(0)
    model = LayoutToImage(2, (8, 8), image_channels=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        side = torch.rand(8, 1, 1, 1) > 0.5
        layout = torch.cat([side, ~side], 1).float().expand(-1, -1, 8, 8)
        loss = (model(layout) - layout[:, :1]).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.1


@pytest.mark.parametrize("shape", [(1, 4, 16, 16), (1, 3, 16, 8), (1, 3, 6, 6), (3, 16, 16)])
def test_wrong_layouts_are_named(shape):
    with pytest.raises(ValueError, match="'layout' must"):
        LayoutToImage(3, (4, 4))(torch.zeros(shape))


def test_a_stage_is_needed():
    with pytest.raises(ValueError, match="'widths' must name a stage"):
        LayoutToImage(3, ())


def test_the_network_layer_by_layer():
    model = LayoutToImage(2, (5, 3), image_channels=1).eval()
    layout, w = torch.randn(2, 2, 8, 8), dict(model.named_parameters())

    def conv(h, name, padding=1):
        return F.conv2d(h, w[f"{name}.weight"], w[f"{name}.bias"], padding=padding)

    def leaky(h):
        return torch.where(h > 0, h, 0.2 * h)

    h = torch.zeros(2, 1, 2, 2)
    for number, size in ((0, 4), (1, 8)):
        h = h.repeat_interleave(2, 2).repeat_interleave(2, 3)
        h = torch.cat([F.adaptive_avg_pool2d(layout, size), h], 1)
        for at in (0, 3):
            norm = model.stages[number][at + 1]
            h = conv(h, f"stages.{number}.{at}")
            h = leaky(F.batch_norm(h, norm.running_mean, norm.running_var, norm.weight, norm.bias))
    painted = conv(leaky(conv(h, "last.0")), "last.2", 0).sigmoid()
    assert torch.allclose(model(layout), painted, atol=1e-6)
    shapes = [tuple(w[f"stages.{n}.{at}.weight"].shape) for n in (0, 1) for at in (0, 3)]
    assert shapes == [(5, 3, 3, 3), (5, 5, 3, 3), (3, 7, 3, 3), (3, 3, 3, 3)]
    assert [tuple(w[f"last.{at}.weight"].shape[1:]) for at in (0, 2)] == [(3, 3, 3), (3, 1, 1)]


def test_the_smallest_layout():
    assert LayoutToImage(3, (4, 4))(torch.zeros(2, 3, 4, 4)).shape == (2, 3, 4, 4)
    with pytest.raises(ValueError, match="divisible by 4"):
        LayoutToImage(3, (4, 4))(torch.zeros(2, 3, 0, 0))
