import pytest
import torch

from graphkit.vision import decode, encode, group_kernels, segment_iou, temporal_nms


def test_overlap_of_nested_touching_and_empty_segments():
    one = torch.tensor([[0.0, 4.0], [2.0, 2.0]])
    two = torch.tensor([[1.0, 3.0], [4.0, 6.0], [5.0, 6.0], [2.0, 2.0]])
    expected = torch.tensor([[0.5, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    assert torch.equal(segment_iou(one, two), expected)
    assert segment_iou(one[:0], two).shape == (0, 4)


def test_overlap_is_that_of_counted_cells():
    one, two = (torch.randint(0, 30, (6, 2)).sort(1).values for _ in range(2))
    cells = torch.arange(30)
    inside = [(cells >= s[:, :1]) & (cells < s[:, 1:]) for s in (one, two)]
    shared = (inside[0][:, None] & inside[1]).sum(2)
    joined = (inside[0][:, None] | inside[1]).sum(2).clamp(min=1)
    assert torch.allclose(segment_iou(one.float(), two.float()), shared / joined)


def test_coding_goes_there_and_back():
    centre, width = torch.rand(7), torch.rand(7) + 0.1
    segments = (torch.rand(7, 2) + torch.tensor([0.0, 1.0])).double()
    back = decode(
        encode(segments, centre.double(), width.double()), centre.double(), width.double()
    )
    assert torch.allclose(back, segments)
    anchor = decode(torch.zeros(7, 2), centre, width)
    assert torch.allclose(anchor, torch.stack([centre - width / 2, centre + width / 2], 1))


def test_suppression_keeps_the_best_of_each_heap():
    segments = torch.tensor([[0.0, 10.0], [1.0, 10.0], [20.0, 30.0], [20.0, 31.0], [50.0, 51.0]])
    scores = torch.tensor([0.5, 0.9, 0.7, 0.6, 0.1])
    assert temporal_nms(segments, scores, 0.5).tolist() == [1, 2, 4]
    assert temporal_nms(segments, scores, 1.0).tolist() == [1, 2, 3, 0, 4]
    assert temporal_nms(segments[:0], scores[:0], 0.5).tolist() == []


def test_disjoint_kernels_stay_and_equal_ones_become_one():
    mean = torch.tensor([[1.0, 3.0, 5.0], [4.0, 4.0, 4.0]])
    group, centre, half = group_kernels(mean, torch.full((2, 3), 0.9), 0.5)
    assert group.tolist() == [[0, 1, 2], [0, 0, 0]]
    assert torch.allclose(centre, mean)
    assert torch.allclose(half, torch.tensor(0.9))


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.6])
def test_grouping_is_final_covers_all_and_has_no_direction(threshold):
    mean, sigma = torch.rand(5, 12).sort(1).values, 0.2 * torch.rand(5, 12)
    group, centre, half = group_kernels(mean, sigma, threshold)
    assert (centre - half <= mean - sigma + 1e-6).all()
    assert (centre + half >= mean + sigma - 1e-6).all()
    for row in range(5):
        first = [int((group[row] == g).nonzero()[0]) for g in group[row].unique()]
        again, middle, wide = group_kernels(
            centre[row, first][None], half[row, first][None], threshold
        )
        assert again.tolist() == [list(range(len(first)))]
        assert torch.allclose(middle[0], centre[row, first])
        assert torch.allclose(wide[0], half[row, first])
    turned, middle, wide = group_kernels(1 - mean.flip(1), sigma.flip(1), threshold)
    assert torch.allclose(1 - middle.flip(1), centre, atol=1e-6)
    assert torch.allclose(wide.flip(1), half, atol=1e-6)
    assert torch.equal(turned[:, -1:] - turned.flip(1), group)


def test_a_single_kernel_is_its_own_group():
    group, centre, half = group_kernels(torch.tensor([[0.5]]), torch.tensor([[0.2]]), 0.5)
    assert (group.item(), centre.item(), half.item()) == (0, 0.5, pytest.approx(0.2))


@pytest.mark.vision
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7, 1.0])
def test_torchvision_agrees_about_boxes_of_height_one(threshold):
    from torchvision.ops import box_iou, nms

    segments = torch.rand(60, 2, dtype=torch.double).sort(1).values * 9
    scores = torch.rand(60, dtype=torch.double)
    left, right = segments.unbind(1)
    boxes = torch.stack([left, torch.zeros(60), right, torch.ones(60)], 1)
    torch.testing.assert_close(segment_iou(segments, segments), box_iou(boxes, boxes))
    kept = nms(boxes, scores, threshold)
    assert torch.equal(temporal_nms(segments, scores, threshold), kept)
