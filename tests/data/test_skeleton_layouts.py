"""The joint tables, each joint's bone by name."""

import pytest

from graphkit.data.skeleton_layouts import LAYOUTS

LIMBS = (
    "elbow-shoulder wrist-elbow hand-wrist knee-hip ankle-knee foot-ankle",
    "shoulder-shoulder_center spine-shoulder_center head-shoulder_center hip_center-spine "
    "hip-hip_center",
)
KINECT = " ".join(LIMBS)
BY_NAME = {
    "ntu-25": "spine_base-spine_mid spine_mid-spine_shoulder neck-spine_shoulder head-neck "
    "shoulder-spine_shoulder elbow-shoulder wrist-elbow hand-wrist hip-spine_base knee-hip "
    "ankle-knee foot-ankle hand_tip-thumb thumb-hand",
    "kinect-20": KINECT,
    "utd-mhad-20": KINECT,
    "coco-17": "eye-nose ear-eye shoulder-nose elbow-shoulder wrist-elbow hip-shoulder knee-hip "
    "ankle-knee",
    "openpose-18": "nose-neck shoulder-neck elbow-shoulder wrist-elbow hip-shoulder knee-hip "
    "ankle-knee eye-nose ear-eye",
    "mediapipe-33": "eye_inner-nose eye-eye_inner eye_outer-eye ear-eye_outer mouth-nose "
    "shoulder-nose elbow-shoulder wrist-elbow pinky-wrist index-wrist thumb-wrist hip-shoulder "
    "knee-hip ankle-knee heel-ankle foot_index-heel",
    "face-17": "nose-head jaw-head upper_lip-head lower_lip-jaw cheek-head brow_inner-head "
    "brow_outer-head eye-head lid-eye mouth-head",
}


def sided(words: str, joints: tuple[str, ...]) -> set[tuple[str, str]]:
    """Bones by name, those of two sides twice: a joint without sides is there for both."""
    bones = set()
    for bone in words.split():
        for side in ("left_", "right_"):
            child, parent = (
                end if end in joints else side + end for end in bone.split("-", maxsplit=1)
            )
            bones.add((child, parent))
    return bones


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_joint_hangs_on_the_one_of_its_name(name: str) -> None:
    joints, parents, _ = LAYOUTS[name]
    bones = {
        (joints[child], joints[parent]) for child, parent in enumerate(parents) if child != parent
    }
    assert bones == sided(BY_NAME[name], joints)


def test_joints_stand_in_the_order_of_their_formats() -> None:
    places = {
        "ntu-25": {0: "spine_base", 3: "head", 4: "left_shoulder", 20: "spine_shoulder"},
        "kinect-20": {0: "hip_center", 3: "head", 4: "left_shoulder", 19: "right_foot"},
        "utd-mhad-20": {0: "head", 3: "hip_center", 4: "left_shoulder", 19: "right_foot"},
        "coco-17": {0: "nose", 3: "left_ear", 5: "left_shoulder", 16: "right_ankle"},
        "openpose-18": {1: "neck", 2: "right_shoulder", 5: "left_shoulder", 17: "left_ear"},
        "mediapipe-33": {
            1: "left_eye_inner",
            8: "right_ear",
            9: "left_mouth",
            32: "right_foot_index",
        },
        "face-17": {0: "head", 2: "jaw", 4: "lower_lip", 5: "left_cheek", 16: "right_mouth"},
    }
    for layout, known in places.items():
        assert {place: LAYOUTS[layout].joints[place] for place in known} == known


def test_bones_of_streams_are_the_graphs_but_for_three() -> None:
    """PYSKL measures COCO's hips and OpenPose's neck from the nose; the root is its own."""
    others = {"coco-17": {11: 0, 12: 0}, "openpose-18": {0: 0, 1: 0}}
    for name, (_, parents, towards) in LAYOUTS.items():
        wanted = dict(enumerate(parents)) | others.get(name, {})
        assert (towards is None) == (name not in others)
        assert dict(enumerate(towards or parents)) == wanted
