"""The standard face: who is whose mirror, what moves what, in numbers that were worked out."""

import math

import pytest
import torch

from graphkit.vision.faces.rig import (
    ACTIONS,
    BONES,
    FREEDOMS,
    HALF,
    IDENTITIES,
    MIRROR,
    MOVERS,
    STROKES,
    bone_places,
    moves_of,
    neutral_face,
    skin_weights,
)

FACE = neutral_face()


def test_the_mirror_is_one_and_lies_on_the_other_side():
    assert len(MIRROR) == 68
    assert [MIRROR[i] for i in MIRROR] == list(range(68))
    assert torch.allclose(FACE[list(MIRROR)], FACE * torch.tensor([-1.0, 1.0, 1.0]))
    middle = [i for i in range(68) if MIRROR[i] == i]
    assert middle == [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]
    assert FACE[middle, 0].abs().max() < 1e-6
    # Lower numbers lie on the left of the picture, which is the right side of the face.
    assert (FACE[[0, 17, 31, 36, 48, 60], 0] < 0).all()


def test_jaw_and_brows_are_curves():
    assert torch.allclose(FACE[0], torch.tensor([-0.78, -0.2, -0.6]))
    assert torch.allclose(FACE[8], torch.tensor([0.0, 0.85, 0.0]), atol=1e-6)
    half = math.sqrt(0.5)
    assert torch.allclose(FACE[4], torch.tensor([-0.78 * half, -0.2 + 1.05 * half, -0.6 * half]))
    assert torch.allclose(FACE[17], torch.tensor([-0.68, -0.48, -0.2]), atol=1e-6)
    assert torch.allclose(FACE[19], torch.tensor([-0.415, -0.58, -0.1]), atol=1e-6)
    assert torch.allclose(FACE[21], torch.tensor([-0.15, -0.48, 0.0]), atol=1e-6)


def test_nose_eyes_and_lips_are_where_they_were_drawn():
    assert torch.allclose(FACE[27], torch.tensor([0.0, -0.27, 0.1]))
    assert torch.allclose(FACE[30], torch.tensor([0.0, 0.12, 0.46]), atol=1e-6)
    for i in {*HALF} - {*range(36, 42)} - {27, 28, 29, 30}:
        assert torch.allclose(FACE[i], torch.tensor(HALF[i])), i
    # The corners of the eye, then its lids, which alone are higher in high eyes.
    assert torch.allclose(FACE[36], torch.tensor([-0.52, -0.25, -0.1]), atol=1e-6)
    assert torch.allclose(FACE[39], torch.tensor([-0.24, -0.25, -0.05]), atol=1e-6)
    assert torch.allclose(FACE[41], torch.tensor([-0.43, -0.205, -0.03]), atol=1e-6)
    high = neutral_face(eyes=2.0) - FACE
    lids = [37, 38, 40, 41, 43, 44, 46, 47]
    assert torch.allclose(high[37], torch.tensor([0.0, -0.05, 0.0]), atol=1e-6)
    assert torch.allclose(high[46], torch.tensor([0.0, 0.045, 0.0]), atol=1e-6)
    still = [i for i in range(68) if i not in lids]
    assert high[still].abs().max() == 0


def test_lips_are_symmetric_about_their_corners_and_open_inside():
    for upper, lower in ((49, 59), (50, 58), (51, 57), (61, 67), (62, 66)):
        assert FACE[upper, 1] < FACE[48, 1] < FACE[lower, 1]
    for outer, inner in ((51, 62), (50, 61)):
        assert FACE[outer, 1] < FACE[inner, 1]
    for outer, inner in ((57, 66), (58, 67)):
        assert FACE[outer, 1] > FACE[inner, 1]


def test_lines_follow_the_numbers_and_close_where_they_are_loops():
    chains = [(i, i + 1) for i in range(35) if i not in (16, 21, 26, 30)]
    loops = [
        pair
        for first, last in ((36, 41), (42, 47), (48, 59), (60, 67))
        for pair in [*((i, i + 1) for i in range(first, last)), (last, first)]
    ]
    assert [*STROKES] == chains + loops


def test_bones_lie_at_the_mean_of_their_landmarks():
    places = dict(zip(BONES, bone_places(FACE), strict=True))
    for name, at in (
        *(("head", [27]), ("nose", [30]), ("jaw", [8]), ("upper_lip", [51, 62])),
        *(("lower_lip", [57, 66]), ("right_cheek", [4]), ("left_cheek", [12])),
        *(("right_brow_inner", [20, 21]), ("left_brow_inner", [23, 22])),
        *(("right_brow_outer", [17, 18]), ("left_brow_outer", [26, 25])),
        *(("right_eye", [36, 39]), ("left_eye", [45, 42])),
        *(("right_lid", [37, 38]), ("left_lid", [44, 43])),
        *(("right_mouth", [48, 60]), ("left_mouth", [54, 64])),
    ):
        assert torch.allclose(places.pop(name), FACE[at].mean(0)), name
    assert places == {}


def test_every_landmark_is_moved_by_its_bones_alone():
    assert sorted(i for members in MOVERS for i in members) == list(range(68))
    places = bone_places(FACE)
    weights = skin_weights(FACE, places)
    assert torch.allclose(weights.sum(1), torch.ones(68))
    moved = {
        i: {BONES[j] for j in weights[i].nonzero().view(-1).tolist()} for i in (31, 37, 43, 48, 64)
    }
    assert moved == {
        **{31: {"nose"}, 37: {"right_lid"}, 43: {"left_lid"}},
        **{48: {"right_mouth"}, 64: {"left_mouth"}},
    }
    # By the formula, for the landmark 28 between head and nose.
    square = (FACE[28, :2] - places[:2, :2]).square().sum(1).double()
    for reach, given in ((0.2, {}), (0.5, {"reach": 0.5})):
        share = (-square / (2 * reach**2)).exp()
        ours = skin_weights(FACE, places, **given)[28, :2]
        assert torch.allclose(ours.double(), share / share.sum(), atol=1e-6)
    assert [BONES[0], BONES[1]] == ["head", "nose"]


def test_a_parameter_moves_both_sides_outwards():
    rows = moves_of(IDENTITIES, ["face_width", "nose_length"])
    assert rows.shape == (2, 17, FREEDOMS)
    at = {name: i for i, name in enumerate(BONES)}
    expected = torch.zeros(2, 17, 7)
    expected[0, at["left_cheek"], 0], expected[0, at["right_cheek"], 0] = 0.12, -0.12
    expected[1, at["nose"], 1], expected[1, at["nose"], 6] = 0.08, 0.15
    assert torch.allclose(rows, expected)
    # In the middle nothing moves outwards.
    jaw = moves_of({"one": {"jaw": (0.3, 0.1, 0.2)}}, ["one"])[0, at["jaw"]]
    assert torch.allclose(jaw, torch.tensor([0, 0.1, 0.2, 0, 0, 0, 0]))


def test_lids_of_high_eyes_have_a_longer_way():
    at = [BONES.index("left_lid"), BONES.index("right_lid")]
    for eyes, down in ((1.0, 0.095), (2.0, 0.19)):
        row = moves_of(ACTIONS, ["eyes_closed", "mouth_open"], eyes)
        assert row[0, at, 1].tolist() == pytest.approx([down, down])
        assert row[1, BONES.index("jaw"), 1].item() == pytest.approx(0.2)
    assert torch.equal(moves_of(ACTIONS, ["eyes_closed"]), moves_of(ACTIONS, ["eyes_closed"], 1.0))


@pytest.mark.parametrize(
    ("name", "bones", "move"),
    [
        ("inner_brow_raise", "brow_inner", (0.0, -0.15, 0.0)),
        ("outer_brow_raise", "brow_outer", (0.0, -0.15, 0.0)),
        ("brow_lower", "brow_inner", (-0.04, 0.1, 0.0)),
        ("smile", "mouth", (0.08, -0.1, 0.0)),
        ("lip_corners_down", "mouth", (0.0, 0.1, 0.0)),
        ("lip_pucker", "mouth", (-0.1, 0.0, 0.1)),
    ],
)
def test_action_units_move_what_they_are_called_after(name, bones, move):
    row = moves_of(ACTIONS, [name])[0]
    across, down, depth = move
    for side, sign in (("left", 1), ("right", -1)):
        assert row[BONES.index(f"{side}_{bones}")].tolist() == pytest.approx(
            [sign * across, down, depth, 0, 0, 0, 0]
        )


def test_wrong_names_get_a_hint_and_none_is_nothing():
    assert moves_of(ACTIONS, []).shape == (0, 17, 7)
    with pytest.raises(ValueError, match="no 'smil'; did you mean 'smile'"):
        moves_of(ACTIONS, ["smil"])
