import pytest
import torch
from torch_geometric.loader import DataLoader

from graphkit.datasets import SyntheticSkeletons
from graphkit.transforms import (
    PadByRepetition,
    UniformSampleFrames,
    repeated_frames,
    uniform_frames,
)

LENGTHS = torch.tensor([1, 5, 8, 11, 16, 40, 200])


@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize("random", [True, False])
def test_frames_exist(variant, random):
    index = uniform_frames(LENGTHS, 8, random, variant)
    assert index.shape == (7, 8)
    assert index.min() >= 0
    assert (index < LENGTHS.view(-1, 1)).all()
    same = uniform_frames(LENGTHS, 8, random, variant)
    assert torch.equal(index, same) != random


def test_one_frame_from_each_part():
    """Part t of a clip of L frames is [t L / T, (t + 1) L / T), whole frames or not."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        index = uniform_frames(LENGTHS, 8, generator=generator)
        low = torch.arange(8) * LENGTHS.view(-1, 1) / 8
        assert (index + 1 > low).all()
        assert (index < low + LENGTHS.view(-1, 1) / 8).all()
    drawn = torch.stack([uniform_frames(torch.tensor([24]), 8)[0] for _ in range(300)])
    for step in range(8):
        assert drawn[:, step].unique().tolist() == [3 * step, 3 * step + 1, 3 * step + 2]
    assert uniform_frames(torch.tensor([24]), 8, False).tolist() == [list(range(1, 24, 3))]
    assert uniform_frames(torch.tensor([4]), 8, False).tolist() == [[0, 0, 1, 1, 2, 2, 3, 3]]


def test_as_released_short_clips_repeat_and_middling_ones_are_thinned():
    short = torch.stack(
        [uniform_frames(torch.tensor([5]), 8, True, "released")[0] for _ in range(60)]
    )
    assert torch.equal((short - short[:, :1]) % 5, (torch.arange(8) % 5).expand(60, 8))
    assert short[:, 0].unique().numel() == 5
    middling = torch.stack(
        [uniform_frames(torch.tensor([11]), 8, True, "released")[0] for _ in range(60)]
    )
    assert (middling.diff(dim=1) >= 1).all()
    assert middling[:, 0].unique().tolist() == [0, 1]
    assert middling.unique(dim=0).size(0) > 20
    long = uniform_frames(torch.tensor([200]), 8, True, "released")[0]
    assert (long // 25).tolist() == list(range(8))
    assert uniform_frames(torch.tensor([5]), 8, False, "released")[0].tolist() == [
        *(0, 1, 2, 3, 4, 0, 1, 2)
    ]


def test_repetition():
    assert repeated_frames(torch.tensor([3, 9]), 7).tolist() == [
        [0, 1, 2, 0, 1, 2, 0],
        list(range(7)),
    ]
    plain = SyntheticSkeletons(8)[0].x
    padded = SyntheticSkeletons(8, transform=PadByRepetition(100))[0].x
    assert torch.equal(padded, torch.cat([plain, plain, plain], dim=2)[..., :100])


def test_clips_of_one_length_are_batched():
    dataset = SyntheticSkeletons(8, transform=UniformSampleFrames(12))
    batch = next(iter(DataLoader(dataset, batch_size=4)))
    assert batch.x.shape == (100, 3, 12)
    steady = UniformSampleFrames(12, random=False)
    middle = SyntheticSkeletons(8, transform=steady)[3].x
    plain = SyntheticSkeletons(8)
    index = uniform_frames(plain.lengths[3:4], 12, False)[0]
    assert torch.equal(middle, plain[3].x[..., index])


def test_what_does_not_fit_is_named():
    for make in (UniformSampleFrames, PadByRepetition):
        with pytest.raises(ValueError, match=r"'num_frames'.*0"):
            make(0)
    with pytest.raises(ValueError, match=r"'variant'.*'old'"):
        UniformSampleFrames(3, variant="old")
    for make in (uniform_frames, repeated_frames):
        with pytest.raises(ValueError, match="'lengths'"):
            make(torch.tensor([3, 0]), 4)


def test_places_within_a_part_and_the_least_lengths():
    lengths = torch.tensor([8, 1])
    first, middle, last = (
        uniform_frames(lengths, 2, False, within=within) for within in (0.0, 0.5, 0.999)
    )
    assert first.tolist() == [[0, 4], [0, 0]]
    assert middle.tolist() == [[2, 6], [0, 0]]
    assert torch.equal(middle, uniform_frames(lengths, 2, random=False))
    assert last.tolist() == [[3, 7], [0, 0]]
    assert uniform_frames(lengths, 1, False).tolist() == [[4], [0]]
    assert repeated_frames(lengths, 1).tolist() == [[0], [0]]
    for make in (uniform_frames, repeated_frames):
        with pytest.raises(ValueError, match="'num_frames' and all 'lengths'"):
            make(lengths, 0)


def test_as_released_lengths_at_the_bounds():
    """As many frames as asked for are all taken; twice as many are cut into parts of two."""
    draw = torch.Generator().manual_seed(0)
    for _ in range(20):
        index = uniform_frames(torch.tensor([4, 8]), 4, True, "released", draw)
        assert index[0].tolist() == [0, 1, 2, 3]
        assert (index[1] // 2).tolist() == [0, 1, 2, 3]
    same = [uniform_frames(LENGTHS, 4, True, "released", draw.manual_seed(3)) for _ in range(2)]
    assert torch.equal(*same)
    steady = uniform_frames(torch.tensor([10]), 4, False, "released")
    assert steady.tolist() == [[1, 3, 6, 8]]


def test_transforms_say_what_they_do():
    assert repr(UniformSampleFrames(4)) == "UniformSampleFrames(4, random=True)"
    assert repr(PadByRepetition()) == "PadByRepetition(300)"
    draws = [torch.Generator().manual_seed(1) for _ in range(2)]
    x = torch.randn(5, 3, 40, 7, 1)
    made = UniformSampleFrames(4, variant="released", generator=draws[0]).dense(x)
    index = uniform_frames(torch.full((5,), 40), 4, True, "released", draws[1])
    assert torch.equal(made, torch.stack([c[:, i] for c, i in zip(x, index, strict=True)]))
    assert UniformSampleFrames(1).dense(x).shape == (5, 3, 1, 7, 1)
    assert torch.equal(PadByRepetition(1).dense(x), x[:, :, :1])
