import pytest
import torch

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
