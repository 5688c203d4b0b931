"""Faces fitted to landmarks whose truth is known, and what is refused."""

import pytest
import torch

from graphkit.metrics import intraclass_correlation
from graphkit.vision import FaceBones, FaceFit, align_faces, fit_faces, measure_faces


def people(face, count=4, frames=5):
    """Frames of people: traits stay, actions and pose change."""
    p = face.draw(count * frames, torch.Generator().manual_seed(0))
    person = torch.arange(count).repeat_interleave(frames)
    p[:, : face.sizes[0]] = p[::frames, : face.sizes[0]].repeat_interleave(frames, 0)
    return p, person, face(p).detach()


def test_parameters_are_found_without_labels():
    face = FaceBones.standard(actions=("mouth_open", "eyes_closed", "inner_brow_raise"))
    truth, person, points = people(face)
    fit = fit_faces(face, points, person, learn=False, steps=150)
    assert fit.loss[-1] < 0.005 * fit.loss[0]
    assert (fit.points() - points).norm(dim=2).mean() < 0.01
    action = face.split(truth).action
    pairs = torch.stack([fit.action.t(), action.t()], 2)
    assert intraclass_correlation(pairs).min() > 0.7
    assert (fit.action >= 0).all()
    assert fit.identity.shape == (4, 5)


def test_what_is_learned_fits_better_and_the_given_face_stays():
    real = FaceBones.standard()
    with torch.no_grad():
        real.rest.add_(0.05 * torch.randn(68, 3, generator=torch.Generator().manual_seed(3)))
    _, person, points = people(real)
    face = FaceBones.standard()
    before = {k: v.clone() for k, v in face.state_dict().items()}
    losses = [fit_faces(face, points, person, learn, steps=60).loss[-1] for learn in (False, True)]
    assert losses[1] < 0.5 * losses[0]
    assert all(torch.equal(before[k], v) for k, v in face.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in face.parameters())


def test_importance_says_which_landmarks_count():
    face = FaceBones.standard(actions=("mouth_open",))
    points = face.rest[:, :2].detach().repeat(2, 1, 1)
    points[:, 36:48] += 0.1
    errors = []
    for weight in (1.0, 100.0):
        importance = torch.ones(68)
        importance[36:48] = weight
        fit = fit_faces(face, points, torch.arange(2), False, 60, importance=importance)
        errors.append((fit.points() - points)[:, 36:48].norm(dim=2).mean())
    assert errors[1] < 0.5 * errors[0]
    for wrong in (torch.ones(3), torch.zeros(68), -torch.ones(68)):
        with pytest.raises(ValueError, match="importance"):
            fit_faces(face, points, torch.arange(2), importance=wrong)


def test_people_may_have_any_numbers():
    face = FaceBones.standard()
    _, person, points = people(face, 2, 3)
    one = fit_faces(face, points, person, False, steps=5)
    other = fit_faces(face, points, 100 - 7 * person, False, steps=5)
    assert isinstance(one, FaceFit)
    assert torch.allclose(one.parameters, other.parameters, atol=1e-6)


def test_alignment_takes_place_and_size_off():
    points = torch.rand(5, 68, 2)
    faces = align_faces(points, 0.7)
    assert torch.allclose(
        faces, align_faces(points * 30 + torch.tensor([9.0, -4.0]), 0.7), atol=1e-5
    )
    assert faces.mean(1).abs().max() < 1e-6
    assert torch.allclose(faces.square().sum(2).mean(1).sqrt(), torch.tensor(0.7))


def test_measures_are_those_of_the_actions():
    face = FaceBones.standard()
    zero = torch.zeros(1, face.num_parameters)
    rest = measure_faces(face(zero))
    for name, measure in (
        ("mouth_open", "mouth_open"),
        ("eyes_closed", "eyes_closed"),
        ("inner_brow_raise", "brow_raise"),
    ):
        moved = zero.clone()
        moved[0, 5 + face.action_names.index(name)] = 0.8
        change = {k: float((v - rest[k]).detach()) for k, v in measure_faces(face(moved)).items()}
        assert change.pop(measure) > 0.04
        assert max(map(abs, change.values())) < 0.02


def test_frames_without_a_face_are_named():
    points = torch.rand(4, 68, 2)
    points[2] = 0.5
    with pytest.raises(ValueError, match="no face in frame 2"):
        align_faces(points)
    points[1, 3] = float("nan")
    with pytest.raises(ValueError, match=r"no face in frame 1: .*2 of 4"):
        fit_faces(FaceBones.standard(), points, torch.arange(4))


@pytest.mark.parametrize(
    ("points", "person", "steps", "message"),
    [
        (torch.rand(3, 60, 2), torch.arange(3), 5, "points"),
        (torch.rand(0, 68, 2), torch.arange(0), 5, "a frame at least"),
        (torch.rand(3, 68, 2), torch.arange(2), 5, "person"),
        (torch.rand(3, 68, 2), torch.rand(3), 5, "person"),
        (torch.rand(3, 68, 2), torch.arange(3), 0, "steps"),
    ],
)
def test_wrong_input_is_refused(points, person, steps, message):
    with pytest.raises(ValueError, match=message):
        fit_faces(FaceBones.standard(), points, person, steps=steps)


def test_other_shapes_cannot_be_measured():
    with pytest.raises(ValueError, match=r"\[N, 68, 2\]"):
        measure_faces(torch.rand(68, 2))
    with pytest.raises(ValueError, match="points"):
        align_faces(torch.rand(68, 2))
