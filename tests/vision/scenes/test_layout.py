import pytest
import torch

from graphkit.vision import boxes_to_layout, masks_to_layout

UNIT = torch.tensor([[0.0, 0.0, 1.0, 1.0]])


def one(vectors, boxes, masks, size):
    return masks_to_layout(vectors, boxes, masks, torch.zeros(len(boxes)).long(), 1, size)[0]


@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_unit_box_paints_every_pixel(size):
    painted = one(torch.tensor([[3.0, -2.0]]), UNIT, torch.ones(1, 4, 4), size)
    assert torch.allclose(painted[0], torch.full((size, size), 3.0))
    assert torch.allclose(painted[1], torch.full((size, size), -2.0))


def test_a_mask_is_interpolated_corner_on_corner():
    mask = torch.rand(1, 3, 3)
    painted = one(torch.ones(1, 1), UNIT, mask, 5)[0]
    assert torch.allclose(painted[::2, ::2], mask[0], atol=1e-6)
    assert torch.allclose(painted[0, 1], (mask[0, 0, 0] + mask[0, 0, 1]) / 2, atol=1e-6)


def test_a_box_paints_its_own_pixels_alone():
    box = torch.tensor([[0.25, 0.5, 0.75, 1.0]])
    painted = boxes_to_layout(torch.ones(1, 1), box, torch.tensor([0]), 1, 5)[0, 0]
    expected = torch.zeros(5, 5)
    expected[2:, 1:4] = 1
    assert torch.allclose(painted, expected, atol=1e-5)


def test_objects_add_up_in_their_own_image():
    vectors, boxes = torch.tensor([[1.0], [2.0], [5.0]]), UNIT.expand(3, 4)
    painted = boxes_to_layout(vectors, boxes, torch.tensor([0, 0, 2]), 4, 2)
    assert painted[:, 0, 0, 0].tolist() == [3.0, 0.0, 5.0, 0.0]


@pytest.mark.parametrize("box", [[0.3, 0.3, 0.3, 0.9], [0.5, 0.5, 0.2, 0.9], [0.0, 0.0, 0.0, 0.0]])
def test_a_box_without_area_paints_nothing_with_a_finite_gradient(box):
    vectors = torch.ones(2, 3, requires_grad=True)
    boxes = torch.tensor([box, [0.0, 0.0, 1.0, 1.0]], requires_grad=True)
    masks = torch.rand(2, 4, 4, requires_grad=True)
    painted = one(vectors, boxes, masks, 6)
    assert torch.allclose(painted, one(vectors[1:], boxes[1:], masks[1:], 6))
    painted.square().sum().backward()
    for leaf in (vectors, boxes, masks):
        assert leaf.grad.isfinite().all()
        assert leaf.grad[1].abs().sum() > 0
        assert leaf.grad[0].abs().sum() == 0


def test_gradients_agree_with_finite_differences():
    vectors = torch.randn(2, 2, dtype=torch.double, requires_grad=True)
    corners = [[0.13, 0.21, 0.71, 0.83], [0.02, 0.4, 0.9, 0.97]]
    boxes = torch.tensor(corners, dtype=torch.double, requires_grad=True)
    masks = torch.rand(2, 3, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda v, b, m: one(v, b, m, 5), (vectors, boxes, masks), fast_mode=True
    )


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"'boxes' must have shape \(1, 4\), got \(2, 4\)"):
        one(torch.ones(1, 1), UNIT.expand(2, 4), torch.ones(1, 2, 2), 3)
    with pytest.raises(ValueError, match="'masks' must have shape"):
        one(torch.ones(1, 1), UNIT, torch.ones(2, 2, 2), 3)


@pytest.mark.vision
def test_torchvision_finds_the_boxes_that_were_painted_and_reads_the_vectors_back():
    from torchvision.ops import masks_to_boxes, roi_align

    size = 41
    boxes = torch.tensor([[0.1, 0.2, 0.5, 0.9], [0.0, 0.5, 1.0, 0.75]], dtype=torch.double)
    vectors = torch.randn(2, 3, dtype=torch.double)
    painted = boxes_to_layout(vectors, boxes, torch.tensor([0, 1]), 2, size)
    pixels = boxes * (size - 1)
    found = masks_to_boxes(painted.abs().sum(1) > 1e-9)
    assert ((found.double() - pixels).abs() <= 1).all()
    inner = pixels + torch.tensor([1.0, 1.0, -1.0, -1.0])
    rows = torch.cat([torch.arange(2.0)[:, None].double(), inner], 1)
    cells = roi_align(painted, rows, output_size=3)
    assert torch.allclose(cells, vectors[:, :, None, None].expand_as(cells), atol=1e-5)
