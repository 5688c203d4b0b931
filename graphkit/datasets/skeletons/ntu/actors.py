"""The one or two persons of an NTU RGB+D clip, among all bodies that the sensor saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graphkit.datasets.skeletons.ntu.raw import NUM_JOINTS, RawSkeleton

__all__ = ["find_actors"]

MIN_FRAMES = 11
MAX_SPREAD = 0.8
MAX_NOISY = 0.69754


@dataclass(eq=False)
class Body:
    """A body's frames ``[L]``, joints ``[L, 25, 3]`` and how much it moves."""

    frames: np.ndarray
    joints: np.ndarray
    motion: float

    @property
    def span(self) -> tuple[int, int]:
        """Its first and last frame."""
        return int(self.frames[0]), int(self.frames[-1])


def find_actors(clip: RawSkeleton) -> np.ndarray:
    r"""Persons as most programs since the `"View Adaptive Neural Networks for High Performance
    Skeleton-based Human Action Recognition" <https://arxiv.org/abs/1804.07453>`_ paper find them.

    Frames without a body are dropped. Of several bodies, those seen in 11 frames or fewer go,
    then, as long as two are left, those that are wider than 0.8 of their height in 69.754 % of
    their frames: furniture and reflections. The rest is sorted by motion,

    .. math::
        m = \min \Big( \sum_{c} \operatorname{Var}_{t, v}\, x_{tvc}, \;
        \sum_{c} \operatorname{Var}_{t \in \text{narrow}, v}\, x_{tvc} \Big),

    the first is the main person, and every other one fills the time in which the main or else
    the second person is not there, or is left out. Frames in which all joints of both are zero
    are dropped.

    Two repairs, where the published program stops or shifts frames: if all bodies are short,
    the longest stays; a body that is lost for some frames keeps its own frame numbers.

    Args:
        clip (RawSkeleton): What the file holds.

    Shapes:
        - **output:** :math:`(T, 2, 25, 3)`, zeros where a person is not seen; :math:`T = 0` if
          the file holds no body

    Example:
        >>> from graphkit.datasets.skeletons.ntu.actors import find_actors
        >>> from graphkit.datasets.skeletons.ntu.raw import parse_skeleton
        >>> find_actors(parse_skeleton(b"1\n0\n")).shape
        (0, 2, 25, 3)
    """
    seen, frame = np.unique(clip.frame, return_inverse=True)
    actors = np.zeros((len(seen), 2, NUM_JOINTS, 3), dtype=np.float32)
    bodies = likely([one(clip, frame, number) for number in range(len(clip.bodies))])
    free = [(-1, -1), (0, 0)]
    for position, body in enumerate(bodies):
        for person, taken in enumerate(free):
            if position == 0 or min(taken[1], body.span[1]) <= max(taken[0], body.span[0]):
                actors[body.frames, person] = body.joints
                first, last = body.span if position == 0 else joined(taken, body.span)
                free[person] = (first, last)
                break
    return actors[(actors != 0).any(axis=(1, 2, 3))]


def joined(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    """From the earlier begin to the later end."""
    return min(one[0], other[0]), max(one[1], other[1])


def one(clip: RawSkeleton, frame: np.ndarray, number: int) -> Body:
    """One of the bodies of a clip, its frames counted without the empty ones."""
    mine = clip.body == number
    joints = clip.joints[mine, :, :3]
    return Body(frame[mine], joints, motion(joints))


def motion(joints: np.ndarray) -> float:
    """How far joints are spread over time and body."""
    return float(joints.reshape(-1, 3).var(axis=0).sum())


def likely(bodies: list[Body]) -> list[Body]:
    """The bodies that are persons, the one that moves most first."""
    if len(bodies) < 2:
        return bodies
    long = [body for body in bodies if len(body.frames) > MIN_FRAMES]
    left = long or [max(bodies, key=lambda body: len(body.frames))]
    for body in list(left):
        if len(left) == 1:
            break
        extent = np.ptp(body.joints, axis=1)
        narrow = extent[:, 0] <= MAX_SPREAD * extent[:, 1]
        if 1 - narrow.mean() >= MAX_NOISY:
            left.remove(body)
        elif not narrow.all():
            body.motion = min(body.motion, motion(body.joints[narrow]))
    return sorted(left, key=lambda body: body.motion, reverse=True)
