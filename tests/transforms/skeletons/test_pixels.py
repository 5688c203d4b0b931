"""Pixels against the released formula, one joint at a time."""

import pytest
import torch
from torch_geometric.data import Data

from graphkit.transforms import PixelNormalize


def released(x, height, width, threshold=0.01):
    """Joint by joint; x is [C, T, V]."""
    out = x.clone()
    for t in range(x.size(1)):
        for v in range(x.size(2)):
            out[0, t, v] = (x[0, t, v] - width / 2) / (width / 2)
            out[1, t, v] = (x[1, t, v] - height / 2) / (height / 2)
            if x.size(0) == 3 and x[2, t, v] <= threshold:
                out[:2, t, v] = 0
    return out


@pytest.mark.parametrize("channels", [2, 3])
def test_against_the_released_formula(channels):
    x = torch.rand(2, channels, 3, 17, 1) * 100
    if channels == 3:
        x[:, 2] = torch.rand(2, 3, 17, 1) - 0.5
    out = PixelNormalize((480, 640)).dense(x)
    for clip, one in zip(x, out, strict=True):
        assert torch.allclose(one[..., 0], released(clip[..., 0], 480, 640), atol=1e-6)


def test_a_clip_knows_its_size_and_persons_who_are_away_stay_at_zero():
    clip = Data(x=torch.full((34, 2, 3), 75.0), img_shape=torch.tensor([[100, 300]]))
    clip.x[17:] = 0
    transform = PixelNormalize()
    out = transform(clip).x
    assert out[0, :, 0].tolist() == [-0.5, 0.5]
    assert not out[17:].any()
    assert transform.img_shape.tolist() == [1080, 1920]
    plain = transform(Data(x=torch.full((17, 2, 1), 480.0))).x
    assert plain[0, :, 0].tolist() == [-0.5, pytest.approx(-1 / 9)]


def test_wrong_sizes_are_named():
    for size in ((0, 3), (3,)):
        with pytest.raises(ValueError, match="'img_shape'"):
            PixelNormalize(size)
    with pytest.raises(ValueError, match="'img_shape'"):
        PixelNormalize()(Data(x=torch.ones(17, 2, 1), img_shape=torch.tensor([[0, 3]])))
    with pytest.raises(ValueError, match="2 coordinates"):
        PixelNormalize().dense(torch.ones(1, 4, 2, 17, 1))


def test_a_score_just_at_the_threshold_counts_as_none():
    clip = torch.full((1, 3, 2, 17, 1), 0.5)
    clip[:, 2, 1] = 0.75
    out = PixelNormalize((4, 8), threshold=0.5).dense(clip)
    assert not out[:, :2, 0].any()
    assert (out[:, 0, 1] == -0.875).all()
    assert (out[:, 1, 1] == -0.75).all()
    assert torch.equal(out[:, 2], clip[:, 2])


def test_a_person_of_whom_one_coordinate_is_seen_is_there_in_that_frame_alone():
    clip = torch.zeros(1, 2, 3, 17, 2)
    clip[0, 1, 1, 4, 1] = 2.0
    out = PixelNormalize((4, 8)).dense(clip)
    assert out[0, :, 1, :, 1].any(dim=0).all()
    assert not out[..., 0].any()
    assert not out[0, :, [0, 2]].any()


def test_an_own_size_is_forgotten_after_an_error_too():
    transform = PixelNormalize((4, 8))
    with pytest.raises(ValueError, match="2 coordinates"):
        transform(Data(x=torch.ones(17, 4, 1), img_shape=torch.tensor([[2, 2]])))
    assert transform.img_shape.tolist() == [4, 8]
    with pytest.raises(ValueError, match="17, persons"):
        transform.dense(torch.ones(1, 2, 1, 16, 1))
    assert transform("no graph") == "no graph"
