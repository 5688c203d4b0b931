"""A student of a trained network without data: adversarial images beside plainer ones.

The teacher learns from labelled images, less a tenth that is held back to judge epochs by. All
students begin with the same weights and take the same number of steps to imitate its logits, on
images of another source each: ``dfad``, a generator that seeks what they disagree on;
``untrained``, the same generator as it began; ``noise``, standardised pixels; ``data``, the real
training images without labels.

The student that an arm hands over is that of its last epoch, with weights averaged over its last
thousand steps: two players circle, and a last step is any point of the circle. No data are needed
for that. ``test_accuracy`` is that of ``dfad``, or of the first arm where ``dfad`` is left out.
Every arm is judged twice more: ``…_last``, the last step as it is, without an average, and
``…_best``, the step after the epoch that is best on the images held back, which takes data.

``over_noise`` and ``over_untrained`` are differences of students that are handed over, ``gap`` that
to the teacher. ``label_entropy``, ``discrepancy``, ``dead_channels`` and ``gradient_ratio`` are the
monitor's last readings, ``warnings`` the readings that it warned about.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import StepLR

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.lenet import Images, lenet, lenet5
from graphkit.distill import DFAD, ImageGenerator
from graphkit.metrics import accuracy
from graphkit.train import (
    Callback,
    CollapseWarning,
    NoiseTask,
    Opponent,
    Trainer,
    WeightAverage,
    seed_everything,
)
from graphkit.vision import TensorTask

MAIN = "test_accuracy"
ARMS = ("dfad", "untrained", "noise", "data")


def load(name: str = "digits") -> Images:
    """Standardised digits, 8 x 8 or MNIST's."""
    return Images(name)


class Pixels(nn.Module):
    """A generator that gives its noise as standardised images.

    Args:
        size (int): Height and width.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.noise_channels, self.size = size * size, size
        self.scale = nn.Parameter(torch.ones(()), requires_grad=False)

    def forward(self, z: Tensor) -> Tensor:
        """The images."""
        return (self.scale * z).view(-1, 1, self.size, self.size)


class Dealer(nn.Module):
    """A generator that gives real images, by numbers as its noise.

    Args:
        images (torch.Tensor): The images.
    """

    noise_channels = 1

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.register_buffer("images", images, persistent=False)
        self.scale = nn.Parameter(torch.ones(()), requires_grad=False)

    def noise(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Numbers of images."""
        images: Any = self.images
        return torch.randint(len(images), (count, 1), generator=generator).float()

    def forward(self, z: Tensor) -> Tensor:
        """The images."""
        images: Any = self.images
        return images[z[:, 0].long()]


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    epochs: int = 6,
    steps: int = 50,
    batch_size: int = 128,
    lr: float = 0.02,
    weight_decay: float = 0.0,
    generator_lr: float = 1e-3,
    noise_channels: int = 32,
    hidden_channels: int = 16,
    imitations: int = 5,
    share: float = 0.5,
    lr_step: int | None = None,
    averaged: bool = True,
    arms: tuple[str, ...] = ARMS,
) -> dict[str, float]:
    """One seed; the recipe's ``train`` is the teacher's.

    ``steps`` are iterations of an epoch, ``share`` is the part of the channels that a student has.
    All rates, the generator's too, fall to a tenth after every ``lr_step`` epochs, as the released
    program's do where a schedule is asked for. Without ``averaged`` the student handed over is the
    last step's.
    """
    images = load(**dataset)
    build = lenet5 if dataset.get("name") == "mnist" else lenet
    seed_everything(seed)
    teacher = build()
    fit(teacher, TensorTask((images.x, images.y), classify, 64), tag="teacher")
    teacher.eval()
    seed_everything(seed)
    student = build(share)
    sources: dict[str, Callable[[], nn.Module]] = {
        "noise": lambda: Pixels(images.size),
        "data": lambda: Dealer(images.x),
    }
    metrics = {"teacher": right(teacher, images.test, images.test_y)}
    for arm in arms:
        # Every arm begins with the same student and the same noise; only what is shown differs.
        seed_everything(seed + 1)
        made = sources.get(
            arm,
            lambda: ImageGenerator(
                noise_channels, size=images.size, hidden_channels=hidden_channels
            ),
        )()
        game = DFAD(copy.deepcopy(student), teacher, made, imitations)
        # Only the first arm has an opponent: elsewhere what the samples are like stays as it is.
        sgd = torch.optim.SGD(game.student.parameters(), lr, 0.9, weight_decay=weight_decay)
        callbacks: list[Callback] = []
        # Noise and data have nothing to learn, so only DFAD's generator plays against the student.
        if arm == "dfad":
            adam = torch.optim.Adam(made.parameters(), generator_lr)
            callbacks = [rival(game, adam, batch_size, lr_step), game.monitor()]
        average = WeightAverage(game.student)
        callbacks.append(average)
        task = NoiseTask(
            game.noise,
            imitate,
            batch_size,
            steps * imitations,
            partial(judged, images=images, average=average),
        )
        slower = None if lr_step is None else StepLR(sgd, lr_step)
        history = play(fit, game, sgd, task, epochs, seed, callbacks, arm, slower)
        metrics |= summary(arm, history, averaged)
    return metrics | compared(metrics, arms)


def rival(
    game: DFAD, optimizer: torch.optim.Optimizer, batch_size: int, lr_step: int | None
) -> Opponent:
    """The generator's steps."""
    return Opponent(
        optimizer,
        lambda run: game.generation(game.noise(batch_size)),
        game.imitations,
        None if lr_step is None else StepLR(optimizer, lr_step),
    )


def imitate(game: Any, z: Tensor) -> Tensor:
    """The student's loss."""
    return game.imitation(z)


def classify(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The teacher's loss."""
    return F.cross_entropy(model(x), y)


@torch.no_grad()
def right(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """The accuracy on images, in parts that fit the processor's memory."""
    out = torch.cat([model(part) for part in x.split(1000)])
    return float(accuracy(out, y))


def judged(student: nn.Module, images: Images, average: WeightAverage) -> dict[str, float]:
    """Accuracies on the images held back and on the test images, and with averaged weights."""
    return {
        "val": right(student, images.val, images.val_y),
        "test": right(student, images.test, images.test_y),
        "averaged": right(average.averaged, images.test, images.test_y),
    }


def play(
    fit: Fitter,
    game: nn.Module,
    optimizer: torch.optim.Optimizer,
    task: NoiseTask,
    epochs: int,
    seed: int,
    callbacks: list[Callback],
    tag: str,
    scheduler: StepLR | None = None,
) -> list[dict[str, float]]:
    """A run of one arm, to be resumed as a recipe's other runs are."""
    fit.parameters = max(fit.parameters, sum(p.numel() for p in game.parameters()))
    trainer = Trainer(
        epochs,
        monitor=None,
        seed=seed,
        callbacks=[*callbacks, *fit.watch],
        fabric=fit.fabric,
        checkpoint=None if fit.folder is None else fit.folder / f"{tag}.pt",
        resume=fit.resume and fit.folder is not None,
        progress=False,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CollapseWarning)
        history = trainer.fit(game, optimizer, task, scheduler).history
    seen = sum(issubclass(one.category, CollapseWarning) for one in caught)
    history[-1]["warnings"] = float(seen)
    return history


def summary(arm: str, history: list[dict[str, float]], averaged: bool) -> dict[str, float]:
    """Accuracies of an arm's student, and what its monitor read."""
    last, best = history[-1], max(history, key=lambda epoch: epoch["val"])
    accuracies = {
        arm: last["averaged" if averaged else "test"],
        f"{arm}_last": last["test"],
        f"{arm}_best": best["test"],
    }
    names = ("label_entropy", "discrepancy", "dead_channels", "gradient_ratio")
    accuracies |= {name: last[name] for name in names if name in last}
    return accuracies | ({"warnings": last["warnings"]} if arm == "dfad" else {})


def compared(metrics: dict[str, float], arms: tuple[str, ...]) -> dict[str, float]:
    """Differences between arms."""
    first = metrics["dfad" if "dfad" in arms else arms[0]]
    differences = {"test_accuracy": first, "gap": metrics["teacher"] - first}
    for arm in ("noise", "untrained", "data"):
        if "dfad" in arms and arm in arms:
            differences[f"over_{arm}"] = first - metrics[arm]
    return differences
