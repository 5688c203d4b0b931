import pytest
import torch

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
