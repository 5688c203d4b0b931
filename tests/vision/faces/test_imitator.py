import pytest
import torch
import torch.nn.functional as F

from graphkit.vision import FaceBones, Imitator


def test_it_learns_to_draw_as_the_engine_does():
    torch.manual_seed(0)
    face = FaceBones.standard(("face_length",), ("mouth_open",), (), 2.0)
    told = face.draw(64, torch.Generator().manual_seed(0))
    image = face.render(told, 16, 0.1).detach()
    imitator = Imitator(2, 16, 8)
    optimizer = torch.optim.Adam(imitator.parameters(), 0.01)
    for _ in range(150):
        optimizer.zero_grad()
        loss = imitator.loss(told, image)
        loss.backward()
        optimizer.step()
    constant = (image - image.median(0).values).abs().mean()
    assert imitator.eval().loss(told, image) < 0.6 * constant


@pytest.mark.parametrize("size", [8, 16, 32, 64])
def test_sizes(size):
    image = Imitator(5, size, 2, 3)(torch.randn(2, 5))
    assert image.shape == (2, 3, size, size)
    assert ((image > 0) & (image < 1)).all()


@pytest.mark.parametrize("size", [4, 12, 33, 0])
def test_other_sizes_are_refused(size):
    with pytest.raises(ValueError, match="size"):
        Imitator(5, size)


def test_wrong_input_is_refused():
    imitator = Imitator(5, 8, 2)
    with pytest.raises(ValueError, match=r"\[N, 5\]"):
        imitator(torch.rand(2, 4))
    with pytest.raises(ValueError, match="NaN"):
        imitator(torch.full((2, 5), float("nan")))
    with pytest.raises(ValueError, match="image"):
        imitator.loss(torch.rand(2, 5), torch.rand(2, 1, 16, 16))
    with pytest.raises(ValueError, match="channels"):
        Imitator(5, 8, 0)


def test_the_network_layer_by_layer():
    model = Imitator(5, 32, 2, 3).eval()
    w, p = dict(model.named_parameters()), torch.randn(4, 5)
    # Three doublings from 4: channels halve from 8 to 2, and stay there at the end.
    h = (p @ w["layers.0.weight"].t() + w["layers.0.bias"]).view(4, 8, 4, 4).relu()
    for at in (3, 6, 9):
        h = F.conv_transpose2d(h, w[f"layers.{at}.weight"], stride=2, padding=1)
        norm = model.layers[at + 1]
        h = F.batch_norm(h, norm.running_mean, norm.running_var, norm.weight, norm.bias).relu()
    h = F.conv2d(h, w["layers.12.weight"], w["layers.12.bias"], padding=1)
    assert torch.allclose(model(p), h.sigmoid(), atol=1e-5)
    kernels = [tuple(w[f"layers.{at}.weight"].shape) for at in (3, 6, 9, 12)]
    assert kernels == [(8, 4, 4, 4), (4, 2, 4, 4), (2, 2, 4, 4), (3, 2, 3, 3)]
    assert not any(f"layers.{at}.bias" in w for at in (3, 6, 9))
    # No more than eight times the channels.
    assert Imitator(5, 256, 2).layers[0].out_features == 16 * 16


def test_the_loss_is_the_mean_difference():
    imitator, p = Imitator(2, 8, 2).eval(), torch.randn(3, 2)
    image = torch.rand(3, 1, 8, 8)
    assert torch.allclose(imitator.loss(p, image), (imitator(p) - image).abs().mean())
