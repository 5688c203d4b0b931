import pytest
import torch
import torch.nn.functional as F

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


def test_the_network_layer_by_layer():
    model = SceneLayout(3, 7, mask_size=4).eval()
    objects, w = torch.randn(5, 3), dict(model.named_parameters())
    boxes, masks = model(objects)
    hidden = (objects @ w["boxes.0.weight"].t() + w["boxes.0.bias"]).relu()
    assert torch.allclose(boxes, hidden @ w["boxes.2.weight"].t() + w["boxes.2.bias"], atol=1e-6)
    h = objects[:, :, None, None]
    for at in (1, 5):
        h = h.repeat_interleave(2, 2).repeat_interleave(2, 3)
        norm = model.masks[at]
        h = F.batch_norm(h, norm.running_mean, norm.running_var, norm.weight, norm.bias)
        h = F.conv2d(h, w[f"masks.{at + 1}.weight"], w[f"masks.{at + 1}.bias"], padding=1).relu()
    h = F.conv2d(h, w["masks.8.weight"], w["masks.8.bias"])[:, 0].sigmoid()
    assert torch.allclose(masks, h, atol=1e-6)
    assert w["boxes.0.weight"].shape == (7, 3)
    assert SceneLayout(3).boxes[0].out_features == 512
    assert model(objects[:1])[1].shape == (1, 4, 4)


def test_the_smallest_mask():
    assert SceneLayout(3, mask_size=2).eval()(torch.zeros(1, 3))[1].shape == (1, 2, 2)
    for size in (0, 1):
        with pytest.raises(ValueError, match="power of two"):
            SceneLayout(3, mask_size=size)
