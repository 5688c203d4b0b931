import pytest
import torch
from torch import nn

from graphkit.vision import LayoutToImage, SceneToImage, masks_to_layout, scene_image_loss


def make(noise=2):
    torch.manual_seed(0)
    synthesis = LayoutToImage(6 + noise, (4, 4), image_channels=1)
    return SceneToImage(6, synthesis, size=16, noise_channels=noise, mask_size=4)


def test_given_boxes_are_painted_into_and_predicted_ones_returned():
    model = make().eval()
    objects, image = torch.randn(3, 6), torch.tensor([0, 0, 1])
    boxes = torch.tensor([[0.0, 0.0, 0.5, 0.5]]).expand(3, 4)
    free, bound = model(objects, image, 2), model(objects, image, 2, boxes)
    assert torch.equal(free.boxes, bound.boxes)
    wanted = masks_to_layout(objects, boxes, free.masks, image, 2, 16)
    assert torch.equal(bound.layout[:, :6], wanted)
    assert not bound.layout[:, 6:].any()
    own = masks_to_layout(objects, free.boxes, free.masks, image, 2, 16)
    assert torch.equal(free.layout[:, :6], own)


def test_any_module_may_synthesise():
    model = SceneToImage(3, nn.Conv2d(3, 2, 1), size=8, noise_channels=0, mask_size=2)
    painted = model(torch.randn(1, 3), torch.tensor([1]), 2)
    assert painted.images.shape == (2, 2, 8, 8)


def test_noise_while_training_alone():
    model = make()
    objects, image = torch.randn(2, 6), torch.tensor([0, 1])
    assert model(objects, image, 2).layout[:, 6:].any()
    model.eval()
    one, two = (model(objects, image, 2).images for _ in range(2))
    assert torch.equal(one, two)


def test_scenes_without_objects_are_painted():
    painted = make().eval()(torch.zeros(0, 6), torch.zeros(0).long(), 2)
    assert painted.images.shape == (2, 1, 16, 16)
    assert painted.images.isfinite().all()


def test_the_loss_by_hand_and_its_gradient():
    model = make().train()
    objects = torch.randn(3, 6, requires_grad=True)
    image, boxes = torch.tensor([0, 0, 1]), torch.rand(3, 4).sort(1).values
    painted = model(objects, image, 2, boxes)
    target = torch.rand(2, 1, 16, 16)
    loss = scene_image_loss(painted, target, boxes)
    expected = (painted.images - target).abs().mean()
    expected = expected + 10 * (painted.boxes - boxes).square().mean()
    assert torch.allclose(loss, expected)
    loss.backward()
    assert objects.grad.abs().sum() > 0
    assert all(p.grad is not None for p in model.parameters())


def test_weights_of_the_loss():
    painted = make().eval()(torch.randn(3, 6), torch.tensor([0, 0, 1]), 2)
    images, boxes = torch.rand(2, 1, 16, 16), torch.rand(3, 4)
    pixels = (painted.images - images).abs().mean()
    placed = (painted.boxes - boxes).square().mean()
    assert torch.allclose(
        scene_image_loss(painted, images, boxes, 0.5, 3.0), pixels / 2 + 3 * placed
    )
    assert torch.allclose(scene_image_loss(painted, images, boxes), pixels + 10 * placed)
    assert painted.masks.shape == (3, 4, 4)


def test_images_that_would_be_broadcast_are_refused():
    model = SceneToImage(8, LayoutToImage(10, (4, 4)), size=16, noise_channels=2)
    painted = model(torch.rand(2, 8), torch.zeros(2).long(), 1)
    images, boxes = painted.images.detach(), painted.boxes.detach()
    with pytest.raises(ValueError, match="'images and boxes' 0 is"):
        scene_image_loss(painted, images.expand(2, -1, -1, -1), boxes)
    with pytest.raises(ValueError, match="'images and boxes' 1 is"):
        scene_image_loss(painted, images, boxes[:1])


def test_scenes_without_objects_are_judged_by_their_pixels():
    painted = make().train()(torch.zeros(0, 6), torch.zeros(0).long(), 2)
    target = torch.rand(2, 1, 16, 16)
    loss = scene_image_loss(painted, target, torch.zeros(0, 4))
    assert torch.equal(loss, (painted.images - target).abs().mean())
    loss.backward()
