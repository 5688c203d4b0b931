"""Digits that are turned, scaled and shifted: TI-CNN, its ablations and plain augmentation.

All networks have two convolutions, start from the same weights and are trained on upright digits
in the middle of the image. Images are shown at twice the size they come in: only where strokes are
smooth at the size of a filter is a turned map nearly the map of a turned image. The arms differ by
where :class:`~graphkit.vision.RandomTransform2d` stands while they train: nowhere (``plain``),
behind the first convolution (``conv1``, the method), behind the second (``conv2``), behind the
first with one transform for the whole batch as in the released layer (``batch``), or before the
network (``input``: augmentation of the images). Test
digits are upright (``clean``), turned by up to 40 degrees (``turned``), scaled by 0.7 to 1.3
(``scaled``), shifted by up to 15 % of the image (``shifted``), or all of it (``all``).

``gain_*`` is ``conv1`` less ``plain``. The graph says the same without labels: ``energy_*`` is
:func:`~graphkit.adapters.orbit_energy` of the logits of test digits turned from -40 to 40 degrees
in steps of 10, ``energy_ratio`` that of ``conv1`` over that of ``plain``.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.images import handwritten
from graphkit.adapters import OrbitGraphAdapter
from graphkit.modes import evaluating
from graphkit.train import TensorTask, seed_everything
from graphkit.vision import RandomTransform2d, transform2d

MAIN = "gain_all"
ARMS = ("plain", "conv1", "conv2", "batch", "input")
TESTS = {"turned": (40.0, 0.0, 0.0), "scaled": (0.0, 0.3, 0.0), "shifted": (0.0, 0.0, 0.15)}


def load(name: str = "digits", train: int | None = None, test: int | None = None) -> dict[str, Any]:
    """Upright training digits, and test digits by what was done to them."""
    x, y = handwritten(name, "train", train)
    other, label = handwritten(name, "test", test)
    x, other = (F.interpolate(part, scale_factor=2, mode="bilinear") for part in (x, other))
    ranges = {"clean": (0.0, 0.0, 0.0), **TESTS, "all": (40.0, 0.3, 0.15)}
    images = {}
    for kind, (angle, scale, shift) in ranges.items():
        # The same draws for every network and seed.
        generator = torch.Generator().manual_seed(0)
        layer = RandomTransform2d(angle, scale, shift, p=1.0, generator=generator)
        images[kind] = transform2d(other, layer.draw(len(other))[0])
    return {"x": x, "y": y, "tests": images, "label": label}


def network(
    arm: str, layer: dict[str, Any], side: int = 16, width: int = 24, classes: int = 10
) -> nn.Sequential:
    """Two convolutions with maxima, two linear layers; the places 0, 2 and 6 are for transforms."""
    model = nn.Sequential(
        nn.Identity(),
        nn.Conv2d(1, width, 3, padding=1),
        nn.Identity(),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.Identity(),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(2 * width * (side // 4) ** 2, 64),
        nn.ReLU(),
        nn.Linear(64, classes),
    )
    places = {"input": 0, "conv1": 2, "batch": 2, "conv2": 6}
    if arm in places:
        model[places[arm]] = RandomTransform2d(**layer, per_sample=arm != "batch")
    return model


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    angle: float = 40.0,
    scale: float = 0.2,
    shift: float = 0.1,
    p: float = 0.5,
    batch_size: int = 64,
    arms: tuple[str, ...] = ARMS,
) -> dict[str, float]:
    """One seed of all networks; the options are those of the layer."""
    data = load(**dataset)
    layer, side = {"angle": angle, "scale": scale, "shift": shift, "p": p}, data["x"].size(2)
    seed_everything(seed)
    start = copy.deepcopy(network("plain", layer, side).state_dict())
    metrics: dict[str, float] = {}
    for arm in arms:
        seed_everything(seed)
        model = network(arm, layer, side)
        model.load_state_dict(start)
        task = TensorTask((data["x"], data["y"]), classify, batch_size)
        fit(model, task, tag=arm)
        metrics |= {f"{kind}_{arm}": value for kind, value in judged(model, data).items()}
    for kind in data["tests"]:
        metrics[f"gain_{kind}"] = metrics[f"{kind}_conv1"] - metrics[f"{kind}_plain"]
    metrics["energy_ratio"] = metrics["energy_conv1"] / metrics["energy_plain"]
    return metrics


def classify(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The loss of the labels."""
    return F.cross_entropy(model(x), y)


@torch.no_grad()
def judged(model: nn.Module, data: dict[str, Any]) -> dict[str, float]:
    """Accuracies by kind of test, and the energy of orbits of turns."""
    found, label = {}, data["label"]
    with evaluating(model):
        for kind, x in data["tests"].items():
            guess = torch.cat([model(part).argmax(1) for part in x.split(256)])
            found[kind] = float((guess == label).float().mean())
    ring = torch.tensor([[float(angle), 1.0, 0.0, 0.0] for angle in range(-40, 41, 10)])
    graph = OrbitGraphAdapter(model, ring)(data["tests"]["clean"][:300], label[:300])
    return found | {"energy": float(graph.energy)}
