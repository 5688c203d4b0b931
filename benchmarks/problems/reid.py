"""Re-identification across domains: data, a small network, augmentation and scores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from sklearn.metrics import adjusted_mutual_info_score
from torch import Tensor, nn

from graphkit.datasets import ReIDImages, digits_reid, omniglot_reid
from graphkit.metrics import retrieval_scores

__all__ = ["Domains", "agreement_with", "augment", "domains", "encoder", "scores"]

CHANNELS = 64
SOURCE = ("Balinese", "Early_Aramaic", "Greek", "Korean", "Latin")
TARGET = ("Japanese_(katakana)", "Sanskrit", "Tagalog")


@dataclass
class Domains:
    """A labelled source, a target whose labels only judge, and other identities of the target.

    Args:
        source, target, test (ReIDImages): The parts.
    """

    source: ReIDImages
    target: ReIDImages
    test: ReIDImages


def domains(name: str, validation: bool = False, seed: int = 0) -> Domains:
    """The parts of a problem; with ``validation`` from images that its test never shows.

    Digits: 100 identities of one set of cameras; 80 and 60 of another. Omniglot, averaged to
    14 x 14: the alphabets of the first archive; 60 % and 40 % of the characters of the new
    alphabets in the second. For validation Balinese and Korean take the part of the target, or,
    of digits, the two sets of cameras change places.
    """
    if name == "digits":
        first = int(validation)
        source, other = digits_reid(first, 100, seed=seed), digits_reid(1 - first, 140, seed=seed)
        target, test = other.split(80 / 140, seed)
    elif name == "omniglot":
        alphabets = (SOURCE[1:3] + SOURCE[4:], SOURCE[:1] + SOURCE[3:4])
        source_names, target_names = alphabets if validation else (SOURCE, TARGET)
        source = omniglot_reid(source_names, 14)
        target, test = omniglot_reid(target_names, 14).split(0.6, seed)
    else:
        raise ValueError(f"this protocol runs on 'digits' or 'omniglot', got {name!r}")
    return Domains(source, target, test)


def encoder(size: int, width: int = 16) -> nn.Module:
    """Three convolutions, averages of places two by two, and 64 channels."""
    layers: list[nn.Module] = []
    inside = 1
    for outside, stride in ((width, 1), (2 * width, 2), (2 * width, 1)):
        conv = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        layers += [conv, nn.BatchNorm2d(outside), nn.ReLU()]
        inside = outside
    side = math.ceil(size / 2) // 2
    flat = nn.Linear(inside * side * side, CHANNELS, bias=False)
    return nn.Sequential(*layers, nn.AvgPool2d(2), nn.Flatten(), flat, nn.BatchNorm1d(CHANNELS))


def augment(x: Tensor, generator: torch.Generator) -> Tensor:
    """Turned, stretched, sheared and moved a little, with other light and a square left out.

    Never mirrored: a mirrored character is another one.
    """
    count, size = len(x), x.size(2)

    def drawn(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    turn, shear = drawn(-0.2, 0.2), drawn(-0.15, 0.15)
    wide, tall = drawn(0.9, 1.1), drawn(0.9, 1.1)
    move = drawn(-2.0 / size, 2.0 / size, 2)
    top = torch.stack([wide * turn.cos(), shear - turn.sin(), move[:, 0]], 1)
    bottom = torch.stack([turn.sin(), tall * turn.cos(), move[:, 1]], 1)
    grid = F.affine_grid(torch.stack([top, bottom], 1), list(x.shape), align_corners=False)
    x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    x = x * drawn(0.8, 1.2, 1, 1, 1) + drawn(-0.1, 0.1, 1, 1, 1)
    place = torch.arange(size)
    corner = torch.randint(0, size - 2, (count, 2), generator=generator).unsqueeze(2)
    inside = (place >= corner) & (place < corner + 3)
    hole = inside[:, 0, :, None] & inside[:, 1, None, :]
    hole &= (torch.rand(count, generator=generator) < 0.5).view(-1, 1, 1)
    return x.masked_fill(hole.unsqueeze(1), 0.0)


def scores(model: Any, images: ReIDImages) -> dict[str, float]:
    """mAP and rank-1 of all images as queries, the own camera left out."""
    f = model.embed(images.x)
    scores = retrieval_scores(
        1 - f @ f.t(), images.identity, images.identity, images.camera, images.camera
    )
    return {"map": scores.map, "rank1": float(scores.cmc[0])}


def agreement_with(label: Tensor, truth: Tensor) -> float:
    """Adjusted mutual information of clusters and identities; an outlier is a cluster alone."""
    alone = torch.arange(len(label)) + int(label.max()) + 1
    return float(adjusted_mutual_info_score(truth, torch.where(label < 0, alone, label)))
