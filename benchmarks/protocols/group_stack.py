"""Two multi-label teachers, no data, one student for some labels of both: group-stack amalgamation.

An image has two cells, and in each a digit of 0 to 5 or nothing, on a background of noise; a
label says that a digit is there. The first teacher knows 0 to 2, the second 3 to 5; wanted are
0, 1, 3 and 4. Reconstructed from a secondary source: the paper's own figures are on photographs
and are not compared with.

Students of the same initial weights, judged by the mean average precision over labels on real
images. ``map`` is the method: a trunk that learns block by block, regrouped with the teachers'
last blocks; ``map_student`` is the same trunk with the student's own last block, which has learned
last. ``map_noise_blocks`` and ``map_untrained_blocks`` are regrouped like ``map``, after as many
steps on Gaussian noise and on an untrained generator's images.

The others learn end to end, by binary cross entropy with the teachers' predictions, in as many
steps: ``map_noise`` on Gaussian noise of deviation 1, ``map_background`` on such noise as is
behind real digits, ``map_untrained`` on an untrained generator's images, ``map_direct`` on the
trained generator's, ``map_real`` on real images without labels.
``prevalence`` is what guessing gets. Each ``gain_…`` is the method less that. ``rate`` is the mean
label of generated images and ``true_rate`` that of real ones, by which the weight of sparsity was
chosen: that is prior knowledge. Settings were chosen on images of training digits, put together
anew.

The downstream result: how LabelGraphAdapter's conditional probabilities, which saw no data, rank
pairs of labels beside the real ones: ``rank_edges``, and ``rank_prior`` for single labels
(Spearman).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score
from torch import Tensor, nn

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.images import handwritten
from graphkit.adapters import LabelGraphAdapter
from graphkit.distill import GroupStackAmalgamation
from graphkit.modes import evaluating
from graphkit.train import NoiseTask, TensorTask, Trainer, seed_everything

MAIN = "map"
KNOWN, WANTED = [[0, 1, 2], [3, 4, 5]], [0, 1, 3, 4]
NOISE = 32
RIVALS = ("noise", "background", "noise_blocks", "untrained", "untrained_blocks", "direct")


def load(
    name: str = "digits", count: int = 2000, share: float = 0.85, seed: int = 0
) -> dict[str, tuple[Tensor, Tensor]]:
    """Images of two cells and which of the digits 0 to 5 are there."""
    found = {}
    for number, part in enumerate(("train", "test")):
        generator = torch.Generator().manual_seed(2 * seed + number)
        x, y = handwritten(name, part)
        x, y = x[y < 6], y[y < 6]
        rows = torch.randint(len(y), (2, count), generator=generator)
        there = torch.rand(2, count, generator=generator) < share
        cells = 3 * x[rows] * there.view(2, count, 1, 1, 1)
        images = torch.cat([cells[0], cells[1]], 3)
        images = images + 0.3 * torch.randn(images.shape, generator=generator)
        labels = (F.one_hot(y[rows], 6) * there.unsqueeze(2)).amax(0).float()
        found[part] = images, labels
    return found


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    width: int = 16,
    generator_steps: int = 500,
    block_steps: int = 300,
    batch_size: int = 64,
    sparsity: float = 2.0,
    inner: float = 0.0,
    grain: float = 1.0,
) -> dict[str, float]:
    """One seed; the recipe's ``train`` is that of the teachers, all else has Adam at its rate."""
    parts = load(**{**dataset, "seed": seed})
    (x, y), (test, label) = parts["train"], parts["test"]
    seed_everything(seed)
    teachers = [blocks(width, len(own)) for own in KNOWN]
    for teacher, own in zip(teachers, KNOWN, strict=True):
        fit(nn.Sequential(*teacher), TensorTask((x, y[:, own]), wrong, batch_size))
    start, untrained = blocks(width, len(WANTED)), groups(width, grain)
    model = GroupStackAmalgamation(
        copy.deepcopy(untrained),
        teachers,
        copy.deepcopy(start),
        KNOWN,
        WANTED,
        torch.randn(2, NOISE),
        sparsity=sparsity,
        inner=inner,
    )
    train(model, model.groups(None), stage_loss(None), generator_steps, batch_size, fit)
    made = copy.deepcopy(model)
    by_blocks(model, block_steps, batch_size, fit)
    wanted = label[:, WANTED]
    found = {
        "map": precision(model.regroup(), test, wanted),
        "map_student": precision(model.student, test, wanted),
    }
    # An untrained generator has no statistics of its own yet: it takes the batch's.
    idle = nn.Sequential(*untrained).train()
    model.eval()
    sources: dict[str, Callable[[Tensor], Tensor]] = {
        "noise": lambda z: torch.randn(len(z), *x.shape[1:]),
        "background": lambda z: 0.3 * torch.randn(len(z), *x.shape[1:]),
        "untrained": idle,
        "direct": lambda z: model.generate(z)[-1],
        "real": lambda z: x[torch.randint(len(x), (len(z),))],
    }
    # The rivals have the method's student and its number of steps; only the images differ.
    for name, source in sources.items():
        student = nn.Sequential(*copy.deepcopy(start))
        total = block_steps * len(start)
        loss = end_to_end(source, model)
        train(student, list(student.parameters()), loss, total, batch_size, fit)
        found[f"map_{name}"] = precision(student, test, wanted)
    for name in ("noise", "untrained"):
        rival = copy.deepcopy(made)
        rival.inner = 0.0
        rival.generate = partial(shown, sources[name])  # type: ignore[method-assign]
        by_blocks(rival, block_steps, batch_size, fit)
        found[f"map_{name}_blocks"] = precision(rival.regroup(), test, wanted)
    found["prevalence"] = float(wanted.mean())
    for name in RIVALS:
        found[f"gain_{name}"] = found["map"] - found[f"map_{name}"]
    found["gain_prevalence"] = found["map"] - found["prevalence"]
    found["teachers"] = sum(
        precision(nn.Sequential(*teacher), test, label[:, own]) / len(KNOWN)
        for teacher, own in zip(teachers, KNOWN, strict=True)
    )
    return found | {"true_rate": float(y.mean())} | together(model, y, seed)


def blocks(width: int, labels: int) -> list[nn.Module]:
    """Three blocks without normalisation: statistics of generated images are not to be trusted."""
    wide = 2 * width
    return [
        nn.Sequential(nn.Conv2d(1, width, 3, 2, 1), nn.ReLU()),
        nn.Sequential(nn.Conv2d(width, wide, 3, 2, 1), nn.ReLU()),
        nn.Sequential(
            nn.Conv2d(wide, wide, 3, 1, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * wide, labels)
        ),
    ]


class Grain(nn.Module):
    """Gaussian noise on every pixel, in every mode.

    Args:
        scale (float): Its standard deviation.
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """The images with noise."""
        return x + self.scale * torch.randn_like(x)


def groups(width: int, grain: float = 1.0) -> list[nn.Module]:
    """Noise to what enters the last block, the second, the first.

    Images are standardised over the batch, as DFAD's are: without that, loud features are got by
    contrast alone, and the images leave the scale of real ones. As much noise again is put on
    every pixel: the trained generator alone makes too few different images to learn from.
    """
    wide = 2 * width
    return [
        nn.Sequential(
            nn.Linear(NOISE, 8 * wide),
            nn.Unflatten(1, (wide, 2, 4)),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
        ),
        nn.Sequential(nn.Upsample(scale_factor=2), *normalised(wide, width)),
        nn.Sequential(
            nn.Upsample(scale_factor=2),
            *normalised(width, width),
            nn.Conv2d(width, 1, 3, 1, 1),
            nn.BatchNorm2d(1, affine=False),
            Grain(grain),
        ),
    ]


def normalised(inside: int, outside: int) -> list[nn.Module]:
    """A layer of the generator."""
    return [nn.Conv2d(inside, outside, 3, 1, 1), nn.BatchNorm2d(outside), nn.ReLU()]


def wrong(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The loss of the labels."""
    return F.binary_cross_entropy_with_logits(model(x), y)


def shown(source: Callable[[Tensor], Tensor], z: Tensor, **context: Any) -> list[Tensor]:
    """Images of another source where a generator's groups would be asked."""
    return [z, z, source(z)]


def by_blocks(model: GroupStackAmalgamation, steps: int, batch_size: int, fit: Fitter) -> None:
    """Trains the student, one block after the other."""
    for block in range(len(model.student)):
        train(model, model.groups(block), stage_loss(block), steps, batch_size, fit)


def stage_loss(stage: int | None) -> Callable[[nn.Module, Tensor], Tensor]:
    """The objective of the generator, or of one block of the student."""

    def loss(model: Any, z: Tensor) -> Tensor:
        return model.generator_loss(z) if stage is None else model.block_loss(stage, z)

    return loss


def end_to_end(
    source: Callable[[Tensor], Tensor], model: GroupStackAmalgamation
) -> Callable[[nn.Module, Tensor], Tensor]:
    """The teachers' predictions on images of any source."""

    def loss(student: nn.Module, z: Tensor) -> Tensor:
        with torch.no_grad():
            images = source(z)
            logits = torch.cat([teacher(images) for teacher in model.teachers], 1) @ model.select
        return F.binary_cross_entropy_with_logits(student(images), logits.sigmoid())

    return loss


def train(
    model: nn.Module,
    parameters: list[nn.Parameter],
    loss: Callable[[nn.Module, Tensor], Tensor],
    steps: int,
    batch_size: int,
    fit: Fitter,
) -> None:
    """So many steps on fresh noise."""

    def draw(count: int, generator: torch.Generator) -> Tensor:
        return torch.randn(count, NOISE, generator=generator)

    seed_everything(fit.seed)
    optimizer = torch.optim.Adam(parameters, lr=fit.settings.lr)
    trainer = Trainer(1, monitor=None, seed=fit.seed, fabric=fit.fabric, progress=False)
    trainer.fit(model.train(), optimizer, NoiseTask(draw, loss, batch_size, steps))
    fit.note_size(model)


@torch.no_grad()
def precision(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """The mean average precision over labels."""
    with evaluating(model):
        return float(average_precision_score(y.numpy(), model(x).numpy(), average="macro"))


def together(model: GroupStackAmalgamation, y: Tensor, seed: int) -> dict[str, float]:
    """What generated samples say of which labels are there, beside the truth."""
    z = torch.randn(1000, NOISE, generator=torch.Generator().manual_seed(seed))
    graph = LabelGraphAdapter(model, threshold=1e-6)(z)
    source, target = graph.edge_index
    given = (y[:, source] * y[:, target]).sum(0) / y[:, source].sum(0)
    return {
        "rate": float(graph.prior.mean()),
        "rank_edges": float(spearmanr(graph.edge_weight, given).statistic),
        "rank_prior": float(spearmanr(graph.prior, y.mean(0)).statistic),
    }
