"""The protocols on faces: worlds, components, distances, and a small run of each."""

import pytest
import torch

from benchmarks.harness.fitting import Fitter
from benchmarks.problems import faces
from benchmarks.protocols import face_people, synthetic_faces
from graphkit.vision import FaceBones, fit_faces

TRAIN = {"epochs": 1, "lr": 0.002, "monitor": None}


def test_photos_are_another_world_than_drawings():
    face = faces.cartoon()
    p = face.draw(8, torch.Generator().manual_seed(0))
    drawing = face.render(p).detach()
    shown = [faces.photos(face, p, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(shown[0], shown[1])
    assert not torch.allclose(shown[0], shown[2], atol=0.1)
    both = torch.stack([shown[0].flatten(), drawing.flatten()])
    assert 0.3 < torch.corrcoef(both)[0, 1] < 0.95


def test_arms_on_drawn_faces():
    fit = Fitter(TRAIN, 0)
    found = synthetic_faces.run(
        {"name": "strokes", "drawings": 32, "photos_": 32, "test": 16},
        seed=0,
        fit=fit,
        batch_size=16,
        width=4,
    )
    assert found["au_icc"] == found["au_icc_feature"]
    assert found["mae_ratio"] == pytest.approx(found["au_mae_feature"] / found["au_mae_mean"])
    for arm in synthetic_faces.ARMS:
        assert -1 <= found[f"au_icc_{arm}"] <= 1
        assert found[f"identity_mae_{arm}"] > 0
    assert fit.parameters > 0
    with pytest.raises(ValueError, match="strokes"):
        synthetic_faces.load("photos")


def turned(points, angle, scale, shift):
    c, s = torch.tensor(angle).cos(), torch.tensor(angle).sin()
    return scale * points @ torch.tensor([[c, s], [-s, c]]) + torch.tensor(shift)


def test_faces_are_brought_onto_each_other():
    points = torch.randn(4, 68, 2)
    moved = turned(points, 0.7, 1.8, [3.0, -1.0])
    assert torch.allclose(face_people.onto(points, moved), moved, atol=1e-4)


def test_all_components_give_the_frames_back_and_none_the_mean():
    points = 0.6 * torch.randn(12, 68, 2) * 0.05 + FaceBones.standard().rest[:, :2].detach()
    mean, axes = face_people.components(points, 12)
    back, code = face_people.coded(turned(points, 0.3, 1.2, [0.5, 0.0]), mean, axes)
    assert torch.allclose(back, turned(points, 0.3, 1.2, [0.5, 0.0]), atol=1e-4)
    assert code.shape == (12, 12)
    few = face_people.coded(points, mean, axes[:3])[0]
    assert face_people.error(few, points) > 0.01


def test_halves_of_people_are_successive_frames_and_numbered_in_turns():
    person = torch.tensor([5, 5, 9, 5, 9, 5, 5])
    assert face_people.halves(person).tolist() == [0, 0, 2, 0, 3, 1, 1]
    with pytest.raises(ValueError, match="two frames"):
        face_people.halves(torch.tensor([1, 1, 2]))


def test_distances_are_those_of_people_and_not_of_noise():
    """A code whose loudest direction is noise within people."""
    torch.manual_seed(0)
    people = torch.randn(60, 3).repeat_interleave(2, 0)
    noise = torch.randn(120, 3)
    codes = torch.cat([people + 0.3 * noise, 20 * torch.randn(120, 2)], 1)
    assert face_people.verified(codes[:60], codes[60:]) > 0.9
    assert face_people.verified(torch.randn(120, 4), torch.randn(120, 4)) < 0.6
    own = torch.arange(60) // 2
    same = face_people.verified(codes[:60], codes[60:], own)
    assert same == pytest.approx(face_people.verified(codes[:60], codes[60:]))


def test_actions_are_read_in_units_of_what_they_do():
    face = FaceBones.standard()
    p = face.draw(24, torch.Generator().manual_seed(0))
    p[:, :5], p[:, -6:] = 0, 0
    person = torch.arange(24) // 6
    fit = fit_faces(face, face(p).detach(), person, False, 120)
    found = face_people.agreement(fit, face(p).detach(), person)
    assert min(found.values()) > 0.8


@pytest.mark.data
@pytest.mark.usefixtures("data_root")
def test_people_held_out_are_nobody_else():
    (points, person), (test, stranger) = face_people.load(test=97, seed=3)
    assert len(points) + len(test) == 4232
    assert not set(person.tolist()) & set(stranger.tolist())
    assert len(stranger.unique()) == 97
    with pytest.raises(ValueError, match="FaceLandmarks"):
        face_people.load("faces")


@pytest.mark.data
@pytest.mark.usefixtures("data_root")
def test_the_protocol_on_people_runs():
    found = face_people.run(
        {"name": "FaceLandmarks", "test": 20}, seed=0, steps=2, told=2, free_identities=1, judges=4
    )
    assert 0 <= found["auc_identity"] <= 1
    assert found["error_pca"] < found["error_rest"]
