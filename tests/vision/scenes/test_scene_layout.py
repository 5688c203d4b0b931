import pytest
import torch

from graphkit.vision import SceneLayout


def test_one_box_and_one_mask_per_object():
    model = SceneLayout(6, 10, mask_size=8).eval()
    objects = torch.randn(5, 6)
    boxes, masks = model(objects)
    assert boxes.shape == (5, 4)
    assert masks.shape == (5, 8, 8)
    assert 0 < masks.min() < masks.max() < 1
    for i in range(5):
        alone = model(objects[i : i + 1])
        assert torch.allclose(alone[0][0], boxes[i], atol=1e-6)
        assert torch.allclose(alone[1][0], masks[i], atol=1e-6)


def test_no_objects():
    boxes, masks = SceneLayout(6, mask_size=4)(torch.zeros(0, 6))
    assert (list(boxes.shape), list(masks.shape)) == ([0, 4], [0, 4, 4])


def test_boxes_can_be_learned():
    torch.manual_seed(0)
    model = SceneLayout(4, 32, mask_size=2)
    objects, wanted = torch.randn(20, 4), torch.rand(20, 4)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(300):
        loss = (model(objects)[0] - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.01


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="'mask_size' must be a power of two, got 6"):
        SceneLayout(4, mask_size=6)
    with pytest.raises(ValueError, match=r"'objects' must have shape \[O, 4\]"):
        SceneLayout(4)(torch.zeros(2, 5))
