"""A reader of blurred digits taught by one who hears clear ones: LIBS, part by part.

Sentences are three to six handwritten digits. The teacher hears three clear images of each digit,
the student sees two of them, averaged to a quarter and noisy. The teacher was trained on ``heard``
other sentences, as the paper's was on other speech; all students learn from the same ``train``
sentences, begin with the same weights and take as many steps.

``cer_…`` are rates of character errors on sentences of images that nobody has seen: of the teacher
by ear (``teacher``), of students that are taught nothing (``none``), one of the three parts
(``sequence``, ``context``, ``frame``), all of them (``all``), and all of them by the teacher's
words on another sentence (``shuffled``). ``gain_…`` is what is left of ``none``'s errors;
``cer_gain`` is that of ``all``. ``spread`` is how far the frame alignment is from looking at one
frame (0) or everywhere alike (1).
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.sentences import Spoken, spoken_digits
from graphkit.metrics import character_error_rate
from graphkit.modes import evaluating
from graphkit.train import TensorTask, seed_everything
from graphkit.vision import LIBS, AttentionSeq2Seq, Padded, SequenceEncoder, Taught

MAIN = "cer_gain"
ARMS = {
    "none": (0, 0, 0),
    "sequence": (1, 0, 0),
    "context": (0, 1, 0),
    "frame": (0, 0, 1),
    "all": (1, 1, 1),
    "shuffled": (1, 1, 1),
}
LONGEST = 10


def load(
    name: str = "digits",
    train: int = 150,
    heard: int = 600,
    judged: int = 300,
    part: str = "test",
    noise: float = 0.18,
    seed: int = 0,
) -> dict[str, Spoken]:
    """Sentences to learn from, those that the teacher learned from, and those to judge by:
    of images of the ``part`` ``"test"``, or ``"val"`` to choose settings by.
    """
    if name != "digits":
        raise ValueError(f"this protocol runs on 'digits', got {name!r}")
    return {
        "train": spoken_digits("train", train, 10 * seed, noise),
        "heard": spoken_digits("train", heard, 10 * seed + 1, noise),
        "judged": spoken_digits(part, judged, 10 * seed + 2, noise),
    }


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    channels: int = 64,
    batch_size: int = 32,
    weights: tuple[float, float, float] = (1.0, 1.0, 1.0),
    teacher_train: dict[str, Any] | None = None,
    direction: str = "audio",
    arms: tuple[str, ...] = tuple(ARMS),
) -> dict[str, float]:
    """One seed; ``weights`` are those of the three parts, ``teacher_train`` changes ``train`` for
    the teacher.
    """
    data = load(**{**dataset, "seed": seed})
    seed_everything(seed)
    teacher, start = (
        AttentionSeq2Seq(SequenceEncoder(width, channels), 10, channels) for width in (64, 16)
    )
    heard, train = data["heard"], data["train"]
    school = Fitter({**fit.train, **(teacher_train or {})}, seed, fit.fabric, watch=fit.watch)

    def listen(model: AttentionSeq2Seq, x: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        return model.loss(Padded(x, lengths), target)

    school(teacher, TensorTask((*heard.sound, heard.target), listen, batch_size))
    judged = data["judged"]
    metrics = {"cer_teacher": errors(teacher, judged.sound, judged.target)}
    taught = LIBS(start, teacher, max_length=LONGEST).teach(train.sound, train.target)
    metrics["matched"] = float(taught.matched.sum() / (train.target >= 0).sum())
    for arm in arms:
        seed_everything(seed)
        scale = [w * on for w, on in zip(weights, ARMS[arm], strict=True)]
        libs = LIBS(copy.deepcopy(start), teacher, scale, direction)
        words = mistaken(taught, train.target) if arm == "shuffled" else taught
        fit(libs, TensorTask((*train.video, train.target, *words), study, batch_size), tag=arm)
        metrics[f"cer_{arm}"] = errors(libs.student, judged.video, judged.target)
        if arm == "all":
            metrics["spread"] = spread(libs, train, taught)
    for arm in arms[1:]:
        metrics[f"gain_{arm}"] = metrics["cer_none"] - metrics[f"cer_{arm}"]
    metrics["cer_gain"] = metrics["gain_all"]
    return metrics


def study(libs: LIBS, x: Tensor, lengths: Tensor, target: Tensor, *taught: Tensor) -> Tensor:
    """The loss of some sentences."""
    return libs.loss(Padded(x, lengths), target, Taught(*taught))


def mistaken(taught: Taught, target: Tensor) -> Taught:
    """What the teacher says about the next sentence, at those steps that this one has."""
    other = taught.rows(torch.arange(len(target)).roll(1))
    return other._replace(matched=other.matched & (target >= 0))


def errors(model: AttentionSeq2Seq, source: Padded, target: Tensor) -> float:
    """Rate of character errors of what is read, symbol by symbol."""
    truth = [[s for s in row if s >= 0] for row in target.tolist()]
    return character_error_rate(model.read(source, max_length=LONGEST).best(), truth)


@torch.no_grad()
def spread(libs: LIBS, train: Spoken, taught: Taught) -> float:
    """Entropy of the frame alignment over that of looking everywhere alike, averaged."""
    with evaluating(libs):
        (source,) = libs.student.encode(train.video)
        weights = libs.align(source, taught)
    entropy = torch.special.entr(weights).sum(2)
    real = entropy[weights.sum(2) > 0.5]
    return float(real.mean() / math.log(weights.size(2)))
