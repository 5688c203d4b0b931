"""The standard face: 68 landmarks, the bones that move them, what identity and actions do.

Columns run to the right, rows down, depth towards the viewer. The face is turned to the viewer and
about two units high; its right side, seen on the left, has the lower numbers, as in the landmarks
of iBUG 300-W.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import pairwise

import torch
from torch import Tensor

from graphkit.data.skeleton_layouts import LAYOUTS
from graphkit.words import did_you_mean

__all__ = ["ACTIONS", "FREEDOMS", "IDENTITIES", "MIRROR", "STROKES"]

BONES, PARENTS, _ = LAYOUTS["face-17"]
FREEDOMS = 7
"""Numbers per bone: shift (3), turn (3), logarithm of the scale."""

MIRROR = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    *(27, 28, 29, 30, 35, 34, 33, 32, 31),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
    *(64, 63, 62, 61, 60, 67, 66, 65),
)
"""The landmark on the other side of each one."""

# Of the right half and of the middle: nose, eye, lips.
HALF = {
    **{27 + i: (0.0, -0.27 + 0.13 * i, 0.10 + 0.12 * i) for i in range(4)},
    **{31: (-0.16, 0.21, 0.15), 32: (-0.08, 0.24, 0.22), 33: (0.0, 0.26, 0.25)},
    **{36: (-0.14, 0.0, -0.1), 37: (-0.05, -0.05, -0.03), 38: (0.05, -0.05, -0.02)},
    **{39: (0.14, 0.0, -0.05), 40: (0.05, 0.045, -0.02), 41: (-0.05, 0.045, -0.03)},
    **{48: (-0.28, 0.48, 0.0), 49: (-0.17, 0.42, 0.08), 50: (-0.07, 0.395, 0.12)},
    **{51: (0.0, 0.405, 0.13), 57: (0.0, 0.59, 0.12), 58: (-0.08, 0.58, 0.11)},
    **{59: (-0.17, 0.545, 0.07), 60: (-0.23, 0.48, 0.02), 61: (-0.08, 0.455, 0.1)},
    **{62: (0.0, 0.46, 0.11), 66: (0.0, 0.505, 0.1), 67: (-0.08, 0.5, 0.1)},
}
EYE_PLACE = (-0.38, -0.25)

CHAINS = (range(17), range(17, 22), range(22, 27), range(27, 31), range(31, 36))
LOOPS = (range(36, 42), range(42, 48), range(48, 60), range(60, 68))
STROKES = tuple(
    pair for line in (*CHAINS, *((*loop, loop[0]) for loop in LOOPS)) for pair in pairwise(line)
)
"""Pairs of landmarks between which a line is drawn."""

# Landmarks whose mean is a bone's place, on the right side and in the middle.
PLACES = {
    **{"head": (27,), "nose": (30,), "jaw": (8,), "upper_lip": (51, 62), "lower_lip": (57, 66)},
    **{"right_cheek": (4,), "right_brow_inner": (20, 21), "right_brow_outer": (17, 18)},
    **{"right_eye": (36, 39), "right_lid": (37, 38), "right_mouth": (48, 60)},
}
MOUTH = ("left_mouth", "right_mouth")
MOVERS: dict[tuple[int, ...], tuple[str, ...]] = {
    tuple(range(17)): ("head", "jaw", "left_cheek", "right_cheek"),
    tuple(range(17, 22)): ("right_brow_inner", "right_brow_outer"),
    tuple(range(22, 27)): ("left_brow_inner", "left_brow_outer"),
    tuple(range(27, 31)): ("head", "nose"),
    tuple(range(31, 36)): ("nose",),
    (36, 39, 40, 41): ("right_eye",),
    (42, 45, 46, 47): ("left_eye",),
    (37, 38): ("right_lid",),
    (43, 44): ("left_lid",),
    (48, 60): ("right_mouth",),
    (54, 64): ("left_mouth",),
    (*range(49, 54), *range(61, 64)): ("upper_lip", *MOUTH),
    (*range(55, 60), *range(65, 68)): ("lower_lip", *MOUTH),
}
"""Which bones may move which landmarks."""

Moves = Mapping[str, tuple[float, ...]]

# Shift (outwards, down, to the front) and growth of bones; a name without a side is both sides.
IDENTITIES: dict[str, Moves] = {
    "face_width": {"cheek": (0.12, 0.0, 0.0)},
    "face_length": {"jaw": (0.0, 0.15), "lower_lip": (0.0, -0.15), "cheek": (0.0, 0.05)},
    "eye_distance": {"eye": (0.08, 0.0), "brow_inner": (0.08, 0.0), "brow_outer": (0.08, 0.0)},
    "nose_length": {"nose": (0.0, 0.08, 0.0, 0.15)},
    "mouth_width": {"mouth": (0.08, 0.0)},
}
ACTIONS: dict[str, Moves] = {
    "inner_brow_raise": {"brow_inner": (0.0, -0.15)},
    "outer_brow_raise": {"brow_outer": (0.0, -0.15)},
    "brow_lower": {"brow_inner": (-0.04, 0.1), "brow_outer": (0.0, 0.06)},
    "smile": {"mouth": (0.08, -0.1), "upper_lip": (0.0, -0.02)},
    "mouth_open": {"jaw": (0.0, 0.2), "cheek": (0.0, 0.06), "mouth": (0.0, 0.05)},
    "eyes_closed": {"lid": (0.0, 0.095)},
    "lip_corners_down": {"mouth": (0.0, 0.1)},
    "lip_pucker": {"mouth": (-0.1, 0.0, 0.1)},
}
"""Action units by what they do: 1, 2, 4, 12, 26, 43, 15 and 18 of the facial action coding."""


def neutral_face(eyes: float = 1.0) -> Tensor:
    """The landmarks of a symmetric face at rest, ``[68, 3]``; ``eyes`` is the height of eyes."""
    half = dict(HALF)
    for i in range(9):
        turn = i / 8 * math.pi / 2
        half[i] = (-0.78 * math.cos(turn), -0.2 + 1.05 * math.sin(turn), -0.6 * math.cos(turn))
    for i in range(5):
        half[17 + i] = (-0.68 + 0.1325 * i, -0.48 - 0.1 * math.sin(math.pi * i / 4), 0.05 * i - 0.2)
    for i in range(36, 42):
        across, down, depth = half[i]
        half[i] = (EYE_PLACE[0] + across, EYE_PLACE[1] + eyes * down, depth)
    for i, (across, down, depth) in list(half.items()):
        half[MIRROR[i]] = (-across, down, depth)
    return torch.tensor([half[i] for i in range(len(MIRROR))])


def bone_places(points: Tensor) -> Tensor:
    """Where the bones are, ``[17, 3]``, from the landmarks of a face at rest."""
    rows = []
    for name in BONES:
        at = PLACES.get(name) or tuple(MIRROR[i] for i in PLACES[name.replace("left", "right")])
        rows.append(points[list(at)].mean(0))
    return torch.stack(rows)


def skin_weights(points: Tensor, places: Tensor, reach: float = 0.2) -> Tensor:
    """The share of each bone in each landmark's motion, ``[68, 17]``; rows sum to one."""
    allowed = torch.zeros(len(points), len(BONES), dtype=torch.bool, device=points.device)
    for members, names in MOVERS.items():
        for name in names:
            allowed[list(members), BONES.index(name)] = True
    near = -torch.cdist(points[:, :2], places[:, :2]).square() / (2 * reach**2)
    return near.masked_fill(~allowed, -torch.inf).softmax(1)


def moves_of(table: Mapping[str, Moves], names: Iterable[str], eyes: float = 1.0) -> Tensor:
    """What each named parameter does to the bones at 1, ``[K, 17, 7]``."""
    rows = [torch.zeros(0, len(BONES), FREEDOMS)]
    for name in names:
        if name not in table:
            raise ValueError(f"the standard face has no {name!r}; {did_you_mean(name, [*table])}")
        row = torch.zeros(1, len(BONES), FREEDOMS)
        for part, move in table[name].items():
            across, down, depth, growth = (*move, 0.0, 0.0, 0.0)[:4]
            # Lids of high eyes have a longer way to go.
            down *= eyes if part == "lid" else 1.0
            for prefix, outwards in (("", 0.0), ("left_", 1.0), ("right_", -1.0)):
                if prefix + part in BONES:
                    moved = torch.tensor([outwards * across, down, depth, 0, 0, 0, growth])
                    row[0, BONES.index(prefix + part)] += moved
        rows.append(row)
    return torch.cat(rows)
