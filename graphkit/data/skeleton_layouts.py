"""Skeletons as data: the joints' names, in the order of a format, and each joint's parent."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["LAYOUTS", "Layout"]


class Layout(NamedTuple):
    """The joints of a format.

    Args:
        joints (tuple of str): Their names.
        parents (tuple of int): The other end of the bone of each; the root is its own.
        towards (tuple of int, optional): What a joint's place is taken relative to in the stream
            of bones, where what was published for it is not the graph. (default: the parents)
    """

    joints: tuple[str, ...]
    parents: tuple[int, ...]
    towards: tuple[int, ...] | None = None


def limbs(*parts: str) -> tuple[str, ...]:
    """The parts of the left side, then those of the right side."""
    return tuple(f"{side}_{part}" for side in ("left", "right") for part in parts)


def pairs(*parts: str) -> tuple[str, ...]:
    """The left and the right of each part in turn."""
    return tuple(f"{side}_{part}" for part in parts for side in ("left", "right"))


ARM = ("shoulder", "elbow", "wrist", "hand")
LEG = ("hip", "knee", "ankle", "foot")
FACE = ("cheek", "brow_inner", "brow_outer", "eye", "lid", "mouth")
ARMS_AND_LEGS = (*limbs(*ARM), *limbs(*LEG))

LAYOUTS = {
    "ntu-25": Layout(
        (
            *("spine_base", "spine_mid", "neck", "head"),
            *ARMS_AND_LEGS,
            *("spine_shoulder", *limbs("hand_tip", "thumb")),
        ),
        (
            *(1, 20, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10),
            *(0, 12, 13, 14, 0, 16, 17, 18, 20, 22, 7, 24, 11),
        ),
    ),
    "kinect-20": Layout(
        ("hip_center", "spine", "shoulder_center", "head", *ARMS_AND_LEGS),
        (1, 2, 2, 2, 2, 4, 5, 6, 2, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18),
    ),
    "utd-mhad-20": Layout(
        ("head", "shoulder_center", "spine", "hip_center", *ARMS_AND_LEGS),
        (1, 1, 1, 2, 1, 4, 5, 6, 1, 8, 9, 10, 3, 12, 13, 14, 3, 16, 17, 18),
    ),
    "coco-17": Layout(
        (
            "nose",
            *("left_eye", "right_eye", "left_ear", "right_ear"),
            *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow"),
            *("left_wrist", "right_wrist", "left_hip", "right_hip"),
            *("left_knee", "right_knee", "left_ankle", "right_ankle"),
        ),
        (0, 0, 0, 1, 2, 0, 0, 5, 6, 7, 8, 5, 6, 11, 12, 13, 14),
        # PYSKL links hips to shoulders, and measures them from the nose.
        (0, 0, 0, 1, 2, 0, 0, 5, 6, 7, 8, 0, 0, 11, 12, 13, 14),
    ),
    "openpose-18": Layout(
        (
            *("nose", "neck"),
            *("right_shoulder", "right_elbow", "right_wrist"),
            *("left_shoulder", "left_elbow", "left_wrist"),
            *("right_hip", "right_knee", "right_ankle"),
            *("left_hip", "left_knee", "left_ankle"),
            *("right_eye", "left_eye", "right_ear", "left_ear"),
        ),
        (1, 1, 1, 2, 3, 1, 5, 6, 2, 8, 9, 5, 11, 12, 0, 0, 14, 15),
        # The graph's root is the neck, that of the stream of bones the nose.
        (0, 0, 1, 2, 3, 1, 5, 6, 2, 8, 9, 5, 11, 12, 0, 0, 14, 15),
    ),
    "mediapipe-33": Layout(
        (
            "nose",
            *limbs("eye_inner", "eye", "eye_outer"),
            *pairs("ear", "mouth", "shoulder", "elbow", "wrist", "pinky", "index", "thumb"),
            *pairs("hip", "knee", "ankle", "heel", "foot_index"),
        ),
        (
            *(0, 0, 1, 2, 0, 4, 5, 3, 6, 0, 0, 0, 0, 11, 12, 13, 14, 15, 16, 15, 16, 15, 16),
            *(11, 12, 23, 24, 25, 26, 27, 28, 29, 30),
        ),
    ),
    "face-17": Layout(
        ("head", "nose", "jaw", "upper_lip", "lower_lip", *limbs(*FACE)),
        (0, 0, 0, 0, 2, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 14, 0),
    ),
}
