"""What turns, and what a score is to a transform."""

import pytest
import torch
from torch_geometric.data import Data

from graphkit.transforms import RandomSkeletonRotation, SkeletonStream


def test_two_coordinates_turn_in_their_plane():
    x = torch.randn(6, 2, 5, 17, 2)
    turned = RandomSkeletonRotation(theta=0.7, num_joints=17).dense(x)
    assert torch.allclose(turned.norm(dim=1), x.norm(dim=1), atol=1e-6)
    angle = torch.atan2(turned[:, 1], turned[:, 0]) - torch.atan2(x[:, 1], x[:, 0])
    angle = torch.remainder(angle + torch.pi, 2 * torch.pi) - torch.pi
    assert angle.flatten(1).std(1).max() < 1e-5
    assert 0 < angle.abs().max() <= 0.7
    assert angle.flatten(1).mean(1).std() > 1e-3


@pytest.mark.parametrize("coordinates", [2, 3])
def test_a_score_stays(coordinates):
    x = torch.randn(4, coordinates + 1, 3, 17, 1)
    turned = RandomSkeletonRotation(theta=1.0, num_joints=17, score=True).dense(x)
    assert torch.equal(turned[:, -1], x[:, -1])
    assert not torch.allclose(turned[:, 0], x[:, 0])
    norm = turned[:, :-1].norm(dim=1)
    assert torch.allclose(norm, x[:, :-1].norm(dim=1), atol=1e-6)


def test_three_coordinates_turn_as_before():
    x, draw = torch.randn(4, 3, 5, 25, 2), torch.Generator()
    turned = RandomSkeletonRotation(0.3, 25, draw.manual_seed(1)).dense(x)
    again = RandomSkeletonRotation(0.3, 25, draw.manual_seed(1)).dense(
        torch.nn.functional.pad(x, (0, 0, 0, 0, 0, 0, 0, 0))
    )
    assert torch.equal(turned, again)
    assert not torch.allclose(turned[:, 2], x[:, 2])


def test_wrong_channels_are_named():
    for channels, score in ((1, False), (4, False), (2, True), (5, True)):
        with pytest.raises(ValueError, match="2 or 3 coordinates"):
            RandomSkeletonRotation(num_joints=17, score=score).dense(
                torch.ones(1, channels, 2, 17, 1)
            )


@pytest.mark.parametrize(
    "kind",
    [
        lambda **k: RandomSkeletonRotation(num_joints=17, **k),
        lambda **k: SkeletonStream("b", "coco-17", **k),
    ],
)
def test_clips_with_scores_need_to_be_told(kind):
    clip = Data(x=torch.randn(17, 3, 4), scored=torch.tensor([True]))
    with pytest.raises(ValueError, match=r"the last channel of 'data\.x' is a score.*score=True"):
        kind()(clip)
    assert kind(score=True)(clip).x.shape == (17, 3, 4)


def test_angles_go_both_ways_to_their_bounds_and_may_be_none():
    x = torch.zeros(4000, 2, 1, 3, 1)
    x[:, 0] = 1.0
    draw = torch.Generator().manual_seed(0)
    turned = RandomSkeletonRotation(0.5, generator=draw).dense(x)
    angle = torch.atan2(turned[:, 1, 0, 0, 0], turned[:, 0, 0, 0, 0])
    assert -0.5 <= angle.min() < -0.49
    assert 0.49 < angle.max() <= 0.5
    assert abs(angle.mean()) < 0.02
    still = RandomSkeletonRotation((0.0, 0.0, 0.0)).dense(x)
    assert torch.equal(still, x)
    for wrong in ((0.1, -0.1, 0.2), (0.1, 0.2, 0.3, 0.4), ()):
        with pytest.raises(ValueError, match="'theta' must be one or three angles from 0"):
            RandomSkeletonRotation(wrong)
    assert repr(RandomSkeletonRotation((0.0, 0.5, 1))) == "RandomSkeletonRotation([0.0, 0.5, 1.0])"
