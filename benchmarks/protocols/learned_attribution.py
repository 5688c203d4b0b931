"""Attribution maps of a classifier of digits on a canvas, judged by what they do and where.

One classifier per seed. Every method explains the predicted class of the same test images.
``insertion`` (larger is better) and ``deletion`` (smaller) are areas under the curve of that
class's probability, ``energy`` is the share of the map in the digit's box, ``pointing`` whether
its peak lies there, ``kept`` the accuracy on masked images and ``area`` the mask's mean.
All maps are sizes, summed over channels, in [0, 1]; ``_smooth`` averages them over 3 × 3 pixels,
which LearnedAttribution does by default. ``gain_…`` is LearnedAttribution less the better of
input × gradient and integrated gradients, smoothed or not, positive where it is better.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.problems.canvas import Canvas, canvas, classifier
from graphkit.metrics import (
    deletion_area,
    energy_in_region,
    insertion_area,
    pointing_game,
)
from graphkit.train import seed_everything
from graphkit.transfer import LearnedAttribution, attribute

MAIN = "energy_learned"
SMALLER = ("deletion", "area")
PLAIN = ("saliency", "input_x_gradient", "integrated_gradients", "deep_lift", "epsilon_lrp")
RIVALS = ("input_x_gradient", "integrated_gradients")


def load(name: str = "canvas", size: int = 24, noise: float = 0.15) -> dict[str, Any]:
    """How the canvases are made."""
    if name != "canvas":
        raise ValueError(f"this protocol runs on 'canvas', got {name!r}")
    return {"size": size, "noise": noise}


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    note_size: Callable[[nn.Module], None],
    images: int = 200,
    train_steps: int = 500,
    learned: dict[str, Any] | None = None,
    part: str = "test",
) -> dict[str, float]:
    """One classifier and its maps; ``learned`` holds arguments of LearnedAttribution."""
    place = load(**dataset)
    seed_everything(seed)
    model = trained(place, train_steps, seed)
    note_size(model)
    test = canvas(part, images, 10_000 + seed, **place)
    with torch.no_grad():
        right = float((model(test.x).argmax(1) == test.y).float().mean())
    metrics = {"test_accuracy": right}
    for name, maps in explained(model, test.x, learned or {}).items():
        metrics |= {f"{key}_{name}": value for key, value in judged(model, test, maps).items()}
    return metrics | gains(metrics)


def trained(place: dict[str, Any], steps: int, seed: int) -> nn.Module:
    """A classifier, trained on canvases that are made anew for every step."""
    model = classifier()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
    for step in range(steps):
        batch = canvas("train", 64, 1_000_000 * (seed + 1) + step, **place)
        loss = F.cross_entropy(model(batch.x), batch.y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def explained(model: nn.Module, x: Tensor, learned: dict[str, Any]) -> dict[str, Tensor]:
    """The maps of every method, :math:`(B, 1, H, W)`, largest value 1."""
    with torch.no_grad():
        target = model(x).argmax(1)
    by_method: dict[str, Tensor] = {}
    for method in PLAIN:
        raw = attribute(model, x, method, target=target).abs().sum(1, True)
        by_method[method] = scaled(raw)
        by_method[f"{method}_smooth"] = scaled(F.avg_pool2d(raw, 3, 1, 1))
    maps: dict[str, Callable[[], Tensor]] = {
        "guided": lambda: LearnedAttribution(model, steps=0, init=50.0, guided=True)(x),
        "frozen": lambda: LearnedAttribution(model, **{**learned, "steps": 0})(x),
        "learned": lambda: LearnedAttribution(model, **learned)(x),
    }
    return (
        by_method
        | {name: make() for name, make in maps.items()}
        | {"grad_cam": cam(model, x, target)}
    )


def cam(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """Grad-CAM of the last nonlinearity, interpolated."""
    from captum.attr import LayerAttribution, LayerGradCam

    layer = [module for module in model.modules() if isinstance(module, nn.ReLU)][-1]
    maps = LayerGradCam(model, layer).attribute(x, target=target, relu_attributions=True)
    return scaled(LayerAttribution.interpolate(maps.detach(), x.shape[2:], "bilinear"))


def scaled(maps: Tensor) -> Tensor:
    """The maps with a largest value of 1."""
    largest = maps.amax((1, 2, 3), keepdim=True)
    return maps / torch.where(largest > 0, largest, 1.0)


def judged(model: nn.Module, test: Canvas, maps: Tensor) -> dict[str, float]:
    """All metrics of one method's maps."""
    with torch.no_grad():
        target = model(test.x).argmax(1)
        same = model(test.x * maps).argmax(1) == target
    qualities = {
        "insertion": insertion_area(model, test.x, maps, target),
        "deletion": deletion_area(model, test.x, maps, target),
        "energy": energy_in_region(maps, test.box),
        "pointing": pointing_game(maps, test.box),
        "kept": same.float(),
        "area": maps.mean((1, 2, 3)),
    }
    return {name: float(value.mean()) for name, value in qualities.items()}


def gains(metrics: dict[str, float]) -> dict[str, float]:
    """How much better LearnedAttribution is than the better of its rivals, by each metric."""
    names = [f"{rival}{ending}" for rival in RIVALS for ending in ("", "_smooth")]
    gained = {}
    for key in ("insertion", "deletion", "energy", "pointing"):
        sign = -1 if key in SMALLER else 1
        best = max(sign * metrics[f"{key}_{name}"] for name in names)
        gained[f"gain_{key}"] = sign * metrics[f"{key}_learned"] - best
    return gained
