import pytest
import torch
import torch.nn.functional as F

from graphkit.vision import ContextDiscriminator, ContextGenerator, surround
from graphkit.vision.actions.moment_context import between, cropped, edges_repeated


def stretch(x, frames):
    return F.interpolate(x, size=frames, mode="linear", align_corners=False)


@pytest.mark.parametrize("frames", [31, 32])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.7, 0.95, 1.0])
@pytest.mark.parametrize("place", [0.0, 0.05, 0.5, 0.95, 1.0])
def test_the_moment_stands_where_the_segment_says(frames, share, place):
    moment, context = torch.randn(2, 3, 8), torch.randn(2, 3, 6)
    length = max(round(share * frames), 1)
    start = round(place * (frames - length))
    x, segment = surround(
        moment, context, torch.tensor([length] * 2), torch.tensor([start] * 2), frames
    )
    assert x.shape == (2, 3, frames)
    first, last = (segment[0] * frames).round().long().tolist()
    assert (first, last) == (start, start + length)
    assert torch.allclose(x[..., first:last], stretch(moment, length), atol=1e-5)
    around = torch.cat([x[..., :first], x[..., last:]], 2)
    if length < frames:
        assert torch.allclose(around, stretch(context, frames - length), atol=1e-5)


def test_each_moment_has_a_length_and_a_place_of_its_own():
    moment, context = torch.randn(3, 2, 8), torch.randn(3, 2, 8)
    length, start = torch.tensor([4, 9, 16]), torch.tensor([12, 3, 0])
    whole, segments = surround(moment, context, length, start, 16)
    for row in range(3):
        one = [part[row : row + 1] for part in (moment, context, length, start)]
        x, segment = surround(*one, 16)
        assert torch.allclose(whole[row], x[0])
        assert torch.equal(segments[row], segment[0])


def test_gradients_reach_moment_and_context():
    moment = torch.randn(1, 2, 4).double().requires_grad_()
    context = torch.randn(1, 2, 4).double().requires_grad_()
    length, start = torch.tensor([3]), torch.tensor([2])
    assert torch.autograd.gradcheck(
        lambda m, c: surround(m, c, length, start, 8)[0], (moment, context)
    )


def test_actions_are_cut_out():
    x = torch.arange(16.0).view(1, 1, 16).repeat(2, 1, 1)
    segments = torch.tensor([[0.25, 0.5], [0.0, 1.0]])
    found = cropped(x, segments, 4)
    assert found[0, 0].tolist() == [4, 5, 6, 7]
    assert torch.allclose(found[1, 0], stretch(x[1:], 4)[0, 0])


def test_repeated_edges():
    moment = torch.tensor([[[1.0, 5.0, 2.0]]])
    assert edges_repeated(moment)[0, 0].tolist() == [1, 1, 2, 2]


def test_start_and_end_come_from_networks_of_their_own():
    torch.manual_seed(0)
    generator = ContextGenerator(3, 4)
    moment = torch.randn(2, 3, 9)
    context = generator(moment)
    assert context.shape == (2, 3, 10)
    with torch.no_grad():
        generator.sides[1][2].bias.add_(1.0)
    again = generator(moment)
    assert torch.equal(again[..., :5], context[..., :5])
    assert torch.allclose(again[..., 5:], context[..., 5:] + 1, atol=1e-6)


def test_the_discriminator_numbers_anchors_as_proposals_do():
    judge = ContextDiscriminator(4, 2, ratios=3)
    maps = [torch.randn(1, 4, 4), torch.randn(1, 4, 2)]
    found = judge(maps)
    assert found.shape == (1, 18)
    assert torch.equal(found[0, 3:6], judge.levels[0](maps[0])[0, :, 1])
    assert torch.equal(found[0, 12:15], judge.levels[1](maps[1])[0, :, 0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"moment": torch.rand(2, 3)}, "moment"),
        ({"context": torch.rand(2, 4, 5)}, "context"),
        ({"context": torch.rand(2, 3, 0)}, "a frame at least"),
        ({"length": torch.tensor([3])}, "length"),
        ({"length": torch.tensor([3, 0])}, "must lie in"),
        ({"start": torch.tensor([3, 14])}, "must lie in"),
        ({"start": torch.tensor([-1, 0])}, "must lie in"),
    ],
)
def test_wrong_input_is_refused(change, message):
    given = {
        "moment": torch.rand(2, 3, 4),
        "context": torch.rand(2, 3, 5),
        "length": torch.tensor([4, 4]),
        "start": torch.tensor([1, 2]),
        "frames": 16,
    }
    with pytest.raises(ValueError, match=message):
        surround(**{**given, **change})


def test_the_discriminator_sees_one_cell_to_each_side():
    judge, maps = ContextDiscriminator(4, 1), [torch.randn(2, 4, 5)]
    assert judge.levels[0].weight.shape == (3, 4, 3)
    found = judge(maps)
    wanted = F.conv1d(maps[0], judge.levels[0].weight, judge.levels[0].bias, padding=1)
    assert torch.allclose(found, wanted.transpose(1, 2).flatten(1))
    with pytest.raises(ValueError, match="zip"):
        judge(maps * 2)


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_repeated_edges_are_at_least_as_long(frames):
    moment = torch.arange(float(frames)).view(1, 1, -1)
    half = (frames + 1) // 2
    assert edges_repeated(moment)[0, 0].tolist() == [0.0] * half + [frames - 1.0] * half


def test_between_frames_and_beyond_the_ends():
    x = torch.tensor([[[1.0, 3.0, 7.0]]])
    place = torch.tensor([[-1.0, 0.0, 0.25, 1.5, 2.0, 5.0]])
    assert between(x, place)[0, 0].tolist() == [1, 1, 1.5, 5, 7, 7]


def test_a_moment_may_fill_everything():
    moment, context = torch.randn(1, 2, 4), torch.randn(1, 2, 3)
    x, segment = surround(moment, context, torch.tensor([4]), torch.tensor([0]), 4)
    assert torch.allclose(x, moment, atol=1e-6)
    assert segment.tolist() == [[0, 1]]


@pytest.mark.parametrize("frames", [301, 512])
def test_a_bfloat16_moment_that_fills_all_frames_stays(frames):
    moment = (torch.arange(frames) % 2).bfloat16()[None, None]
    x, _ = surround(
        moment, torch.zeros(1, 1, 4).bfloat16(), torch.tensor([frames]), torch.tensor([0]), frames
    )
    torch.testing.assert_close(x, moment, rtol=0, atol=1e-4)
    torch.testing.assert_close(
        cropped(moment, torch.tensor([[0.0, 1.0]]), frames), moment, rtol=0, atol=1e-4
    )
