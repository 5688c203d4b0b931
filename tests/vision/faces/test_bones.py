"""The face of bones against a walk over its tree, and what is symmetric in it."""

import copy
import math

import pytest
import torch
from scipy.spatial.transform import Rotation

from graphkit.nn import SkeletonGraph
from graphkit.testing import needs_cuda
from graphkit.vision import FaceBones, FaceParameters, fit_faces
from graphkit.vision.faces.rig import FREEDOMS, MIRROR


@pytest.fixture
def face():
    return FaceBones.standard().double()


def some(face, count=3):
    return face.draw(count, torch.Generator().manual_seed(1)).double()


def chain(bones=6, points=4, **options):
    """A chain of bones with random moves: as deep as a tree can be."""
    torch.manual_seed(0)
    parents = [0, *range(bones - 1)]
    weights = torch.rand(points, bones).softmax(1)
    moves = 0.3 * torch.randn(2, bones, FREEDOMS), 0.3 * torch.randn(1, bones, FREEDOMS)
    return FaceBones(
        torch.randn(points, 3), torch.randn(bones, 3), parents, weights, *moves, **options
    ).double()


def walked(face, offsets):
    """The skin by a walk over the tree, one bone after another, in NumPy's fashion."""
    maps = {}
    places, parents = face.places.numpy(), face.parents.tolist()
    for bone in sorted(range(len(parents)), key=lambda b: depth(parents, b)):
        shift, turn, growth = offsets[bone].split([3, 3, 1])
        matrix = growth.exp().item() * Rotation.from_rotvec(turn.numpy()).as_matrix()
        constant = places[bone] + shift.numpy() - matrix @ places[bone]
        if parents[bone] != bone:
            upper, base = maps[parents[bone]]
            matrix, constant = upper @ matrix, upper @ constant + base
        maps[bone] = matrix, constant
    rest, weights = face.rest.detach().numpy(), face.weights.numpy()
    return torch.stack(
        [
            sum(
                torch.from_numpy(weights[v, b] * (maps[b][0] @ rest[v] + maps[b][1]))
                for b in range(len(parents))
            )
            for v in range(len(rest))
        ]
    )


def depth(parents, bone):
    return 0 if parents[bone] == bone else 1 + depth(parents, parents[bone])


@pytest.mark.parametrize("make", [chain, lambda: FaceBones.standard().double()])
def test_skin_is_that_of_a_walk_over_the_tree(make):
    face = make()
    p = torch.randn(2, face.num_parameters).double()
    offsets = face.offsets(p).detach()
    expected = torch.stack([walked(face, row) for row in offsets])
    assert torch.allclose(face.skin(p), expected, atol=1e-9)


def test_the_pose_turns_scales_and_shifts(face):
    p = torch.zeros(1, face.num_parameters).double()
    pose = [0.2, -0.4, 0.1, 0.3, 0.5, -0.2]
    p[0, -6:] = torch.tensor(pose, dtype=torch.double)
    turn = torch.from_numpy(Rotation.from_rotvec([0.2, -0.4, 0.1]).as_matrix())
    expected = (face.rest @ turn.t())[:, :2] * math.exp(0.3)
    shifted = expected + torch.tensor([0.5, -0.2]).double()
    assert torch.allclose(face(p)[0], shifted, atol=1e-6)


def test_without_parameters_the_face_is_at_rest(face):
    zero = torch.zeros(2, face.num_parameters).double()
    assert torch.allclose(face(zero), face.rest[:, :2].expand(2, -1, -1))
    assert torch.allclose(face.bones(zero), face.places.expand(2, -1, -1))


def test_offsets_are_linear(face):
    p, q = some(face, 2).split(1)
    zero = torch.zeros_like(p)
    assert torch.allclose(face.offsets(p + q) - face.offsets(p), face.offsets(q))
    assert torch.equal(face.offsets(zero), torch.zeros_like(face.offsets(zero)))


def test_bones_are_those_of_the_skeleton_layout(face):
    graph = SkeletonGraph("face-17")
    assert torch.equal(face.parents, graph.parents)
    turned = face.places * torch.tensor([-1.0, 1.0, 1.0])
    assert torch.allclose(turned[graph.mirror], face.places, atol=1e-6)


def test_faces_are_symmetric_unless_they_turn(face):
    p = some(face)
    p[:, -6:] = 0
    points = face(p)
    turned = points[:, list(MIRROR)] * torch.tensor([-1.0, 1.0])
    assert torch.allclose(points, turned, atol=1e-6)
    image = face.render(p)
    assert torch.allclose(image, image.flip(3), atol=1e-5)
    p[:, -5] = 0.3
    assert not torch.allclose(face.render(p), face.render(p).flip(3), atol=1e-2)


@pytest.mark.parametrize(
    ("name", "upper", "lower", "sign"),
    [
        ("mouth_open", 62, 66, 1),
        ("eyes_closed", 37, 41, -1),
        ("inner_brow_raise", 20, 38, 1),
        ("outer_brow_raise", 18, 37, 1),
        ("brow_lower", 20, 38, -1),
        ("smile", 48, 8, 1),
        ("lip_corners_down", 48, 8, -1),
    ],
)
def test_actions_do_what_their_names_say(face, name, upper, lower, sign):
    p = torch.zeros(1, face.num_parameters).double()
    p[0, 5 + face.action_names.index(name)] = 1
    gap = face(p)[0, lower, 1] - face(p)[0, upper, 1]
    assert sign * (gap - (face.rest[lower, 1] - face.rest[upper, 1])) > 0.05


def test_gradients_of_landmarks_and_images():
    face = chain()
    p = 0.3 * torch.randn(2, face.num_parameters).double()
    assert torch.autograd.gradcheck(face, p.requires_grad_())
    drawn = FaceBones.standard().double()
    p = some(drawn, 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: drawn.render(p, size=5, width=0.2), p, fast_mode=True)
    zero = torch.zeros(1, drawn.num_parameters).double().requires_grad_()
    drawn.render(zero).sum().backward()
    assert zero.grad.isfinite().all()


def test_drawn_parameters_are_within_bounds_and_seeded(face):
    p = face.draw(200, torch.Generator().manual_seed(0))
    low, high = face.bounds()
    assert ((p >= low) & (p <= high)).all()
    assert torch.equal(p, face.draw(200, torch.Generator().manual_seed(0)))
    action = face.split(p).action
    assert 0.4 < (action > 0).double().mean() < 0.6
    assert isinstance(face.split(p), FaceParameters)


def test_parts_of_the_standard_face():
    face = FaceBones.standard(("eye_distance",), ("smile",), ("yaw",), 2.0, 3, 2)
    assert face.sizes == (4, 3, 1)
    assert face(torch.zeros(0, 8)).shape == (0, 68, 2)
    copy.deepcopy(face).load_state_dict(face.state_dict())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parents": [1, 0, 1, 2, 3, 4]}, "one root"),
        ({"parents": [0, 1, 1, 2, 3, 4]}, "one root"),
        ({"parents": [0, 2, 1, 2, 3, 4]}, "one root"),
        ({"parents": [0, 0]}, "6 numbers"),
        ({"rest": torch.rand(3, 3)}, "rest"),
        ({"actions": torch.rand(1, 6, 3)}, "actions"),
        ({"pose": ("yaw", "nod")}, r"nod|pose"),
        ({"pose": ("yaw", "yaw")}, "different"),
    ],
)
def test_wrong_faces_are_refused(change, message):
    given = {
        "rest": torch.rand(4, 3),
        "places": torch.rand(6, 3),
        "parents": [0, 0, 1, 2, 3, 4],
        "weights": torch.rand(4, 6),
        "identities": torch.rand(2, 6, FREEDOMS),
        "actions": torch.rand(1, 6, FREEDOMS),
    }
    with pytest.raises(ValueError, match=message):
        FaceBones(**{**given, **change})


def test_wrong_parameters_are_refused(face):
    with pytest.raises(ValueError, match="parameters"):
        face(torch.zeros(3, 4).double())
    with pytest.raises(ValueError, match="NaN"):
        face(torch.full((1, face.num_parameters), float("nan")).double())
    with pytest.raises(ValueError, match="'smirk'; did you mean 'smile'"):
        FaceBones.standard(actions=("smirk", "smile"))
    with pytest.raises(ValueError, match="eyes"):
        FaceBones.standard(eyes=0.0)


def test_compiles_without_breaks():
    """The compiler sees one graph; what it makes of it is not ours."""
    face = FaceBones.standard()
    p = some(face.double())
    render = torch.compile(face.render, fullgraph=True, backend="eager")
    assert torch.allclose(render(p), face.render(p))


@needs_cuda
def test_on_a_gpu():
    face = FaceBones.standard()
    p = face.draw(3, torch.Generator().manual_seed(0))
    image = face.render(p)
    face = face.cuda()
    assert torch.equal(face.draw(3, torch.Generator().manual_seed(0)).cpu(), p)
    assert face.draw(2, torch.Generator("cuda").manual_seed(0)).is_cuda
    assert torch.allclose(face.render(p.cuda()).cpu(), image, atol=1e-5)
    fit = fit_faces(face, face(p.cuda()).detach(), torch.arange(3), learn=False, steps=3)
    assert fit.parameters.is_cuda
