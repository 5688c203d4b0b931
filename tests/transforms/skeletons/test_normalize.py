import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from graphkit.nn import SkeletonGraph
from graphkit.transforms import RandomSkeletonRotation, SkeletonNormalize
from graphkit.transforms.skeletons.normalize import turn_onto
from graphkit.transforms.skeletons.rotation import rotations


def clips(layout="ntu-25", persons=2):
    joints = SkeletonGraph(layout).num_joints
    return torch.randn(5, 3, 7, joints, persons, dtype=torch.double)


def aligned(vector, axis):
    """The shortest turn, by SciPy: around the cross product by the angle between."""
    around = np.cross(vector, axis)
    angle = np.arccos(vector @ axis / np.linalg.norm(vector))
    return Rotation.from_rotvec(around / np.linalg.norm(around) * angle)


@pytest.mark.parametrize("layout", ["ntu-25", "kinect-20", "utd-mhad-20"])
def test_against_scipy(layout):
    x, graph = clips(layout), SkeletonGraph(layout)
    found = SkeletonNormalize(layout).dense(x)
    names = graph.joints
    bottom = names.index("spine_base" if "spine_base" in names else "hip_center")
    top = names.index("spine_mid" if "spine_mid" in names else "spine")
    left, right = names.index("left_shoulder"), names.index("right_shoulder")
    for clip, out in zip(x.numpy(), found.numpy(), strict=True):
        points = np.moveaxis(clip, 0, -1) - clip[:, 0, top, 0]
        first = points[0, :, 0]
        turn = aligned(first[top] - first[bottom], np.array([0.0, 0.0, 1.0]))
        across = turn.apply(first[right] - first[left])
        both = aligned(across, np.array([1.0, 0.0, 0.0])) * turn
        wanted = both.apply(points.reshape(-1, 3)).reshape(points.shape)
        assert np.moveaxis(out, 0, -1) == pytest.approx(wanted, abs=1e-9)


def test_place_and_direction_do_not_matter_for_a_straight_body():
    """Shoulders at right angles to the spine: then the two turns leave nothing of the view."""
    x = clips(persons=1)
    x[:, :, 0, 0, 0], x[:, :, 0, 1, 0] = 0.0, torch.tensor([0.0, 0.5, 0.0]).double()
    x[:, :, 0, 4, 0] = torch.tensor([-0.3, 0.6, 0.0]).double()
    x[:, :, 0, 8, 0] = torch.tensor([0.3, 0.6, 0.0]).double()
    x += 2.0
    turn = rotations(torch.rand(5, 3, dtype=torch.double))
    seen = torch.einsum("bdc,bctvm->bdtvm", turn, x) + torch.randn(5, 3, 1, 1, 1).double()
    normalize = SkeletonNormalize()
    torch.testing.assert_close(normalize.dense(seen), normalize.dense(x))


def test_every_clip_begins_with_its_own_first_frame():
    x = clips(persons=1)
    x[1, :, :2], x[3, :, :5] = 0.0, 0.0
    out = SkeletonNormalize().dense(x)
    for clip, whole in zip(x, out, strict=True):
        assert torch.allclose(SkeletonNormalize().dense(clip[None])[0], whole)
    late = SkeletonNormalize().dense(x[1:2, :, 2:])
    assert torch.allclose(out[1:2, :, 2:], late)


def test_missing_joints_stay_zero_and_late_persons_are_found():
    x = clips()
    x[:, :, :3, :, 0] = 0.0
    x[:, :, :, 5] = 0.0
    x[:, :, :, :, 1] = 0.0
    out = SkeletonNormalize(turn=False).dense(x)
    assert out[:, :, :3, :, 0].abs().max() == 0
    assert out[:, :, :, 5].abs().max() == 0
    assert out[..., 1].abs().max() == 0
    assert torch.allclose(out[:, :, 3:, 2, 0], (x[:, :, 3:, 2, 0] - x[:, :, 3:4, 1, 0]))
    nothing = torch.zeros(1, 3, 4, 25, 1)
    assert torch.equal(SkeletonNormalize().dense(nothing), nothing)


def test_turns_without_direction_are_none():
    axis = torch.tensor([0.0, 0.0, 1.0])
    for vector in ([0.0, 0.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, -2.0]):
        assert torch.equal(turn_onto(torch.tensor([vector]), axis)[0], torch.eye(3))
    near = turn_onto(torch.tensor([[1e-3, 0.0, -1.0]]), axis)[0]
    assert near.det().item() == pytest.approx(1.0, abs=1e-3)


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"coco-17.*spine"):
        SkeletonNormalize("coco-17")
    with pytest.raises(ValueError, match="3 coordinates, got 2"):
        SkeletonNormalize().dense(torch.zeros(1, 2, 4, 25, 1))
    with pytest.raises(ValueError, match=r"'theta'.*-1"):
        RandomSkeletonRotation(-1)
    with pytest.raises(ValueError, match=r"'theta'"):
        RandomSkeletonRotation((0.1, 0.2))
    with pytest.raises(ValueError, match="3 coordinates, got 4"):
        RandomSkeletonRotation().dense(torch.zeros(1, 4, 4, 25, 1))


def test_rotations_are_scipys():
    angles = torch.rand(6, 3, dtype=torch.double) * 6 - 3
    wanted = Rotation.from_euler("xyz", angles.numpy()).as_matrix()
    assert rotations(angles).numpy() == pytest.approx(wanted, abs=1e-12)


def test_every_clip_is_turned_on_its_own_and_within_bounds():
    x = clips()
    generator = torch.Generator().manual_seed(1)
    turned = RandomSkeletonRotation((0.0, 0.0, 0.5), generator=generator).dense(x)
    assert torch.equal(turned[:, 2], x[:, 2])
    angle = torch.atan2(turned[:, 1], turned[:, 0]) - torch.atan2(x[:, 1], x[:, 0])
    angle = torch.atan2(angle.sin(), angle.cos()).flatten(1)
    assert angle.abs().max() <= 0.5
    assert torch.allclose(angle, angle[:, :1].expand_as(angle))
    assert angle[:, 0].unique().numel() == 5
    again = RandomSkeletonRotation((0.0, 0.0, 0.5), generator=generator.manual_seed(1)).dense(x)
    assert torch.equal(again, turned)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_turns_of_half_precision_are_those_of_double(dtype):
    axis = torch.tensor([0.0, 0.0, 1.0])
    vectors = torch.tensor([[0.0, 0.0, 0.0], [3.0, 1.0, 0.5], [1e-2, 0.0, -1.0], [0, 300.0, 300.0]])
    turns = turn_onto(vectors.to(dtype), axis.to(dtype))
    assert turns.dtype == dtype
    expected = turn_onto(vectors.to(dtype).double(), axis.double())
    torch.testing.assert_close(turns.double(), expected, rtol=1e-2, atol=1e-2)
