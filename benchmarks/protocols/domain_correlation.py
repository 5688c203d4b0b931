"""DCCD on images whose identities each come from one domain, beside plain and adversarial training.

In training every identity is seen in one domain alone, so that a network may tell identities by
their domain. ``swapped_…`` is judged where that breaks: the same identities in the other domains,
as queries among the training images (``map``) and by the classifier (``accuracy``). ``unseen_…``
are new identities in a domain that was not trained on.

Digits: an identity is a drawn digit, a domain a way to photograph it; a fourth domain is unseen.
Omniglot: an identity is a character, seen by one camera as half of its drawers drew it, swapped by
another camera and as the other half did; unseen are characters of other alphabets and a fourth
camera. With ``real`` no camera is made up: drawers are parted by how large they write into three
domains, and a character is trained on as the drawers of one part drew it.

Arms: ``erm`` plain training, ``dann`` a domain classifier with reversed gradient, ``dccd`` the
intervention without one, ``dccd_adv`` with it, ``order1`` the intervention on means alone. All
begin with the same weights and see the same batches. ``swapped_accuracy_ratio`` is the accuracy of
``dccd_adv``, the whole method, over that of ``erm``; ``map_gain`` the difference of their swapped
mAP in points.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.interventions import ARMS, summary
from benchmarks.problems.reid import CHANNELS, SOURCE, TARGET, augment, encoder
from graphkit.datasets import ReIDImages, omniglot_reid
from graphkit.datasets.media.reid import far_apart, photographed, shifted
from graphkit.metrics import retrieval_scores
from graphkit.modes import evaluating
from graphkit.train import ShardedTask, seed_everything
from graphkit.vision import DCCD

MAIN = "swapped_accuracy_ratio"


@dataclass
class Correlated:
    """Images whose domains go with identities, and images where they do not.

    Args:
        train, swapped, unseen (ReIDImages): The parts.
    """

    train: ReIDImages
    swapped: ReIDImages
    unseen: ReIDImages


def load(
    name: str = "digits", identities: int = 60, real: bool = False, seed: int = 0
) -> Correlated:
    """The parts of a problem; ``identities`` of each domain, for digits."""
    if name == "digits":
        return digit_styles(identities, seed)
    if name == "omniglot":
        return writing_sizes(seed) if real else camera_styles(seed)
    raise ValueError(f"this protocol runs on 'digits' or 'omniglot', got {name!r}")


def digit_styles(identities: int, seed: int, views: int = 12) -> Correlated:
    """Digits as three cameras photograph them, each its own; a fourth one for the unseen ones."""
    from sklearn.datasets import load_digits

    generator = torch.Generator().manual_seed(1000 + seed)
    pixels = torch.from_numpy(load_digits(return_X_y=True)[0]).float() / 16
    drawn = pixels[far_apart(pixels, 4 * identities, generator)].view(-1, 1, 8, 8)
    identity = torch.arange(4 * identities)
    domain = identity % 4

    def render(who: Tensor, style: Tensor) -> ReIDImages:
        x = photographed(shifted(drawn[who], generator), style, 4, 0, generator)
        number = torch.full_like(who, -1)
        known = (domain < 3).nonzero().squeeze(1)
        number[:] = torch.searchsorted(known, who)
        return ReIDImages(x, torch.where(domain[who] < 3, number, who), style, style)

    known, new = (domain < 3).nonzero().squeeze(1), (domain == 3).nonzero().squeeze(1)
    many, few = known.repeat_interleave(views), known.repeat_interleave(4)
    other = (domain[few] + 1 + torch.randint(2, few.shape, generator=generator)) % 3
    unseen = new.repeat_interleave(6)
    return Correlated(
        render(many, domain[many]), render(few, other), render(unseen, domain[unseen])
    )


def camera_styles(seed: int) -> Correlated:
    """Characters as half of their drawers drew them, by a camera each; swapped, as the others did.

    So the swap changes the hand and the camera. Characters of other alphabets are unseen, and so
    is their camera.
    """
    generator = torch.Generator().manual_seed(1000 + seed)
    images, new = omniglot_reid(SOURCE, 14), omniglot_reid(TARGET, 14)
    names, identity = images.identity.unique(return_inverse=True)
    domain = (torch.randperm(len(names), generator=generator) % 3)[identity]
    first = images.camera % 2 == 0
    other = (domain + 1 + torch.randint(2, domain.shape, generator=generator)) % 3
    style = torch.where(first, domain, other)

    def seen(images: ReIDImages, who: Tensor, style: Tensor) -> ReIDImages:
        x = photographed(images.x, style, 4, 0, generator)
        return ReIDImages(x, who, images.camera, style)

    whole = seen(images, identity, style)
    unseen = seen(new, new.identity, torch.full_like(new.identity, 3))
    return Correlated(whole.select(first), whole.select(~first), unseen)


def writing_sizes(seed: int) -> Correlated:
    """Characters as the drawers of one of three parts drew them, parted by size of writing."""
    images = omniglot_reid(SOURCE, 14)
    new = omniglot_reid(TARGET, 14)
    part = parts_by_size(images)
    names, identity = images.identity.unique(return_inverse=True)
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
    own = (order % 3)[identity]
    whole = ReIDImages(images.x, identity, images.camera, part)
    return Correlated(whole.select(part == own), whole.select(part != own), new)


def parts_by_size(images: ReIDImages) -> Tensor:
    """0, 1 or 2 for every image, by how large its drawer writes, a third of each alphabet's."""
    ink = images.x[:, 0] > 0.3
    extent = ink.any(1).sum(1).float() * ink.any(2).sum(1)
    drawers, place = images.camera.unique(return_inverse=True)
    size = torch.zeros(len(drawers)).index_add_(0, place, extent) / place.bincount()
    alphabet = torch.zeros(len(drawers), dtype=torch.long)
    alphabet[place] = images.domain
    part = torch.zeros(len(drawers), dtype=torch.long)
    for one in alphabet.unique():
        rows = (alphabet == one).nonzero().squeeze(1)
        rank = size[rows].argsort().argsort()
        part[rows] = rank * 3 // len(rows)
    return part[place]


class IdentityTask(ShardedTask):
    """Batches of some images of some identities.

    Args:
        images (ReIDImages): Images, identities from 0, and domains.
        classes, per_class (int): Identities of a batch, and images of each.
        steps (int): Batches of an epoch.
        moved (bool): Whether images are augmented.
    """

    def __init__(
        self, images: ReIDImages, classes: int, per_class: int, steps: int, moved: bool
    ) -> None:
        self.images, self.classes, self.per_class = images, classes, per_class
        self.steps, self.moved = steps, moved

    def batches(self, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(seed)
        images = self.images
        names = images.identity.unique()
        for _ in range(self.steps):
            drawn = names[torch.randperm(len(names), generator=generator)[: self.classes]]
            key = torch.rand(len(images), generator=generator)
            away = (images.identity != drawn.unsqueeze(1)) * 2.0
            rows = (key + away).argsort(1)[:, : self.per_class].flatten()
            x = images.x[rows]
            yield (
                augment(x, generator) if self.moved else x,
                images.identity[rows],
                images.domain[rows],
            )

    def loss(self, model: Any, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        return model.loss(batch[0], y=batch[1], domain=batch[2])

    def size(self, batch: tuple[Tensor, Tensor, Tensor]) -> int:
        return len(batch[1])

    def evaluate(self, model: Any) -> dict[str, float]:
        return {}


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    steps: int = 100,
    classes: int = 16,
    per_class: int = 4,
    weight: float = 0.1,
    momentum: float = 0.95,
    warm: int = 50,
    shrink: float = 0.1,
    factual: float = 0.0,
    triplet: float = 1.0,
    moved: bool = False,
    arms: tuple[str, ...] = tuple(ARMS),
) -> dict[str, float]:
    """One seed; ``steps`` of an epoch."""
    data = load(**{**dataset, "seed": seed})
    seed_everything(seed)
    size = data.train.x.size(2)
    network = encoder(size)
    people = int(data.train.identity.max()) + 1
    options = {
        "weight": weight,
        "momentum": momentum,
        "warm": warm,
        "shrink": shrink,
        "factual": factual,
        "triplet": triplet,
    }
    start = DCCD(network, CHANNELS, people, 3).state_dict()
    metrics: dict[str, float] = {}
    for arm in arms:
        model = DCCD(copy.deepcopy(network), CHANNELS, people, 3, **{**options, **ARMS[arm]})
        model.load_state_dict(start)
        fit(model, IdentityTask(data.train, classes, per_class, steps, moved), tag=arm)
        metrics |= {f"{name}_{arm}": value for name, value in judged(model, data).items()}
    return metrics | summary(metrics, arms)


@torch.no_grad()
def judged(model: DCCD, data: Correlated) -> dict[str, float]:
    """Scores of the swapped images among those of training, and of the unseen among themselves."""
    with evaluating(model):
        train, swapped, unseen = (
            torch.nn.functional.normalize(model(part.x)) for part in vars(data).values()
        )
        guess = model.logits(data.swapped.x).argmax(1)
    among = retrieval_scores(1 - swapped @ train.t(), data.swapped.identity, data.train.identity)
    # New images of one drawer, or of one camera, are no cameras apart: only the query is left out.
    number = torch.arange(len(unseen))
    apart = retrieval_scores(
        1 - unseen @ unseen.t(), data.unseen.identity, data.unseen.identity, number, number
    )
    return {
        "swapped_accuracy": float((guess == data.swapped.identity).float().mean()),
        "swapped_map": among.map,
        "unseen_map": apart.map,
        "unseen_rank1": float(apart.cmc[0]),
    }
