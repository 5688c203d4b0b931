import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

from graphkit.vision import DensityNet, density_loss, render_density


def scene(count, generator):
    """Frames in which two digits stand at random places."""
    pixels = torch.from_numpy(load_digits().images).float() / 16
    images = 0.1 * torch.rand(count, 1, 28, 28, generator=generator)
    corners = torch.randint(20, (count, 2, 2), generator=generator)
    for frame, places in enumerate(corners.tolist()):
        for row, col in places:
            digit = pixels[int(torch.randint(len(pixels), (1,), generator=generator))]
            patch = images[frame, 0, row : row + 8, col : col + 8]
            patch.copy_(torch.maximum(patch, digit))
    points = corners.flatten(0, 1).float() + 3.5
    frame = torch.arange(count).repeat_interleave(2)
    return images, render_density(points, frame, (count, 28, 28), 2.0)


def test_it_learns_to_count():
    generator = torch.Generator().manual_seed(0)
    images, density = scene(48, generator)
    model = DensityNet(channels=6)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(80):
        optimizer.zero_grad()
        density_loss(model(images), density).backward()
        optimizer.step()
    fresh, truth = scene(24, generator)
    with torch.no_grad():
        found = model(fresh)
    assert (found.sum((1, 2)) - 2).abs().mean() < 0.5
    still = density_loss(density.mean(0).expand_as(truth), truth)
    assert density_loss(found, truth) < 0.5 * still


def test_maps_are_coarser_by_the_stride_and_not_negative():
    found = DensityNet(in_channels=3, stride=4)(torch.randn(2, 3, 32, 40))
    assert found.shape == (2, 8, 10)
    assert (found >= 0).all()


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match="image"):
        DensityNet()(torch.rand(1, 8, 8))
    with pytest.raises(ValueError, match="truth"):
        density_loss(torch.zeros(1, 2, 2), torch.zeros(1, 2, 3))
    with pytest.raises(ValueError, match="stride"):
        DensityNet(stride=0)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_network_layer_by_layer(stride):
    model, image = DensityNet(2, 3, stride), torch.rand(2, 2, 12, 9)
    w = dict(model.named_parameters())
    h = F.conv2d(image, w["layers.0.weight"], w["layers.0.bias"], stride, 3).relu()
    h = F.conv2d(h, w["layers.2.weight"], w["layers.2.bias"], padding=2).relu()
    h = F.conv2d(h, w["layers.4.weight"], w["layers.4.bias"], padding=2).relu()
    h = F.conv2d(h, w["layers.6.weight"], w["layers.6.bias"])[:, 0]
    assert torch.allclose(model(image), (1 + (h - 5).exp()).log(), atol=1e-6)
    sizes = [tuple(w[f"layers.{i}.weight"].shape) for i in (0, 2, 4, 6)]
    assert sizes == [(3, 2, 7, 7), (6, 3, 5, 5), (3, 6, 5, 5), (1, 3, 1, 1)]
    # One frame stays one frame.
    assert model(image[:1]).shape == (1, *model(image).shape[1:])
    assert density_loss(h, h + 0.01, scale=10.0).item() == pytest.approx(0.01, rel=1e-3)
