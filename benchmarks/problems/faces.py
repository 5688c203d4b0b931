"""Drawn faces in two worlds, one with the true parameters known; landmarks of real people."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit.datasets import face_landmarks
from graphkit.vision import FaceBones, align_faces, draw_strokes

__all__ = ["cartoon", "centred", "load", "photos", "real_faces"]

ACTIONS = (
    *("inner_brow_raise", "outer_brow_raise", "brow_lower"),
    *("smile", "mouth_open", "eyes_closed"),
)


def cartoon() -> FaceBones:
    """The face of drawings: five traits, six actions, two ways to turn, high eyes."""
    return FaceBones.standard(actions=ACTIONS, pose=("pitch", "yaw"), eyes=2.2)


@torch.no_grad()
def photos(
    face: FaceBones, parameters: Tensor, generator: torch.Generator, size: int = 32
) -> Tensor:
    """Drawings of another world: landmarks out of place, thick lines, light, blur, noise."""
    count = len(parameters)
    points = face(parameters)
    points = points + 0.012 * torch.randn(points.shape, generator=generator)
    width = 0.055
    x = draw_strokes(points, face.strokes, size, width)
    x = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    gain, base, slope = (torch.rand(count, 3, generator=generator) - 0.5).unbind(1)
    turn = 2 * torch.pi * torch.rand(count, generator=generator)
    place = torch.linspace(-1, 1, size)
    light = turn.cos()[:, None, None] * place + turn.sin()[:, None, None] * place[:, None]
    light = (0.6 * slope)[:, None, None] * light + (0.2 + 0.4 * base)[:, None, None]
    x = (0.8 + 0.6 * gain)[:, None, None, None] * x + light.unsqueeze(1)
    return x + 0.05 * torch.randn(x.shape, generator=generator)


def real_faces(seed: int, test: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Aligned landmarks and people to learn from, and those of other people."""
    faces = face_landmarks()
    points = align_faces(faces.points)
    people = faces.subject.unique()
    if not 1 < test < len(people) - 1:
        raise ValueError(f"'test' must be a number of people under {len(people)}, got {test}")
    order = people[torch.randperm(len(people), generator=torch.Generator().manual_seed(seed))]
    held = torch.isin(faces.subject, order[:test])
    return (points[~held], faces.subject[~held]), (points[held], faces.subject[held])


def load(
    name: str = "FaceLandmarks", test: int = 97, seed: int = 0
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """People to learn from and other people: aligned landmarks, whose they are."""
    if name != "FaceLandmarks":
        raise ValueError(f"landmarks are 'FaceLandmarks', got {name!r}")
    return real_faces(seed, test)


def centred(values: Tensor, person: Tensor) -> Tensor:
    """Values without their person's mean."""
    group = person.unique(return_inverse=True)[1]
    shape = (int(group.max()) + 1, *values.shape[1:])
    count = group.bincount().to(values.dtype).view(-1, *[1] * (values.dim() - 1))
    return values - (values.new_zeros(shape).index_add(0, group, values) / count)[group]
