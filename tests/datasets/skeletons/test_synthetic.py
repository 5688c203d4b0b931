"""Synthetic skeletons against a walk over the body, joint by joint, with the same draws."""

import math

import pytest
import torch

from graphkit.datasets import SyntheticSkeletons
from graphkit.datasets.skeletons.synthetic import ancestors, limbs
from graphkit.nn import SkeletonGraph

KINECT = SkeletonGraph("kinect-20")
AT = {name: i for i, name in enumerate(KINECT.joints)}
ARM, LEG = ("elbow", "wrist", "hand"), ("knee", "ankle", "foot")


def at_rest(joint):
    """The bone that leads to a joint, by its name."""
    if joint == "shoulder_center":
        return [0.0, 0.0, 0.0]
    if joint in ("spine", "hip_center"):
        return [0.0, -0.25, 0.0]
    if joint == "head":
        return [0.0, 0.25, 0.0]
    side, part = joint.split("_")
    sign = -1 if side == "left" else 1
    if part == "shoulder":
        return [sign * 0.2, 0.0, 0.0]
    if part == "hip":
        return [sign * 0.1, 0.0, 0.0]
    return [sign * (0.075 if part in ARM else 0.025), -0.25, 0.0]


def test_bones_and_limbs_by_name():
    moved, bones = limbs(KINECT)
    expected = torch.tensor([at_rest(joint) for joint in KINECT.joints])
    assert torch.allclose(bones, expected, atol=1e-7)
    for row, (side, end) in enumerate(
        (("left", ARM), ("right", ARM), ("left", LEG), ("right", LEG))
    ):
        assert moved[row].nonzero().view(-1).tolist() == [AT[f"{side}_{part}"] for part in end]


def test_the_way_from_the_middle():
    way = ancestors(KINECT)
    for joint in range(20):
        seen = [joint]
        while KINECT.parents[seen[-1]] != seen[-1]:
            seen.append(int(KINECT.parents[seen[-1]]))
        # The middle of the body itself is on no way but its own.
        assert set(way[:, joint].nonzero().view(-1).tolist()) | {KINECT.center} == set(seen)
        assert way.max() == 1


def walked(seed, clips, least, most, persons, noise):
    """All clips by loops, with draws in the order of the formula's letters."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(least, most + 1, (clips,), generator=generator).tolist()

    def uniform(low, high, *shape):
        return low + (high - low) * torch.rand(*shape, generator=generator)

    phase, reach = uniform(0, 2 * math.pi, clips, persons), uniform(0.7, 1.1, clips, persons)
    size, facing = uniform(0.9, 1.1, clips, persons), uniform(0, 2 * math.pi, clips)
    home = uniform(-1, 1, clips, persons, 1, 3)
    shaken = torch.randn(sum(lengths), persons, 20, 3, generator=generator)
    frames, row = [], 0
    for clip in range(clips):
        label = clip % 8
        side, end = [("left", ARM), ("right", ARM), ("left", LEG), ("right", LEG)][label % 4]
        swings = {AT[f"{side}_{part}"] for part in end}
        for time in range(lengths[clip]):
            for person in range(persons):
                cycle = 2 * math.pi * (1 + label // 4) * time / lengths[clip]
                angle = float(reach[clip, person]) * math.sin(cycle + float(phase[clip, person]))
                places = {}
                turn = float(facing[clip])
                for joint in sorted(range(20), key=depth):
                    across, up, front = at_rest(KINECT.joints[joint])
                    if joint in swings:
                        front, up = up * math.sin(angle), up * math.cos(angle)
                    start = places.get(int(KINECT.parents[joint]), torch.zeros(3))
                    step = torch.tensor([across, up, front]) * size[clip, person]
                    places[joint] = start + step
                body = torch.stack([places[joint] for joint in range(20)])
                turned = torch.stack(
                    [
                        math.cos(turn) * body[:, 0] + math.sin(turn) * body[:, 2],
                        body[:, 1],
                        math.cos(turn) * body[:, 2] - math.sin(turn) * body[:, 0],
                    ],
                    1,
                )
                place = home[clip, person, 0] + torch.tensor([0.0, 0.0, 3.0])
                frames.append(turned + place + noise * shaken[row, person])
            row += 1
    return lengths, torch.stack(frames).view(-1, persons, 20, 3)


def depth(joint):
    parent = int(KINECT.parents[joint])
    return 0 if parent == joint else 1 + depth(parent)


def test_frames_are_those_of_a_walk_over_the_body():
    data = SyntheticSkeletons(9, (3, 5), num_person=2, noise=0.02, layout="kinect-20", seed=4)
    lengths, frames = walked(4, 9, 3, 5, 2, 0.02)
    assert [clip.x.size(2) for clip in data] == lengths
    assert torch.allclose(data.frames, frames, atol=1e-5)
    assert data.y.tolist() == [*range(8), 0]


def test_defaults():
    data = SyntheticSkeletons()
    assert len(data) == 400
    lengths = [clip.x.size(2) for clip in data]
    assert (min(lengths), max(lengths)) == (40, 60)
    assert data[0].x.shape[:2] == (25, 3)
    same = SyntheticSkeletons(400, (40, 60), 1, 0.01, "ntu-25", 0)
    assert torch.equal(data.frames, same.frames)
    assert data.class_names[5] == "right_shoulder, 2x"
    assert data[3].name == "clip-3"


def test_odd_subjects_train():
    data = SyntheticSkeletons(40, (1, 1), layout="kinect-20")
    assert data.info["subject"].tolist() == [s for s in (1, 3, 5, 2, 1) for _ in range(8)]
    assert [len(part) for part in data.splits()] == [32, 8]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_clips": 0}, "'num_clips' and"),
        ({"num_person": 0}, "'num_person' must be at least 1"),
        ({"noise": -0.1}, "'noise' not negative"),
        ({"num_frames": (0, 3)}, "'num_frames'"),
        ({"num_frames": (4, 3)}, "'num_frames'"),
        ({"layout": "face-17"}, "'layout' 'face-17' has no left_shoulder"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        SyntheticSkeletons(**options)


def test_the_least_of_everything():
    data = SyntheticSkeletons(1, (1, 1), 1, 0.0, "kinect-20")
    assert data[0].x.shape == (20, 3, 1)
