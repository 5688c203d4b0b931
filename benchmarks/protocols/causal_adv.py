"""CausalAdv of images beside natural training, Madry's and TRADES, under one attack and several.

All networks begin with the same weights and see the same batches. ``natural`` learns images as
they are, ``madry`` and ``trades`` are CausalAdv with alpha 0, ``causal`` and ``causal_t`` its
variants M and T. Of each: ``clean_…`` accuracy, ``pgd_…`` under PGD with ``test_steps`` steps from
a random start, ``all_…`` under every search of ``attack_ensemble``, for CausalAdv with one more
that attacks style and content together. Nothing is chosen by test images: the last epoch counts.

``pgd_accuracy`` is that of ``causal``; ``over_natural``, ``over_madry`` and ``clean_over_natural``
are its differences. ``orthogonal`` is the largest entry of the covariance of content logits and
styles, relative to the norm of the head times the covariance of features. ``style_…`` and
``content_…`` are the edge homophily of the relations of CausalPairGraphAdapter's graph: how much
neighbours say of the label, of natural and of attacked images.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.utils import homophily

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.images import handwritten
from graphkit.adapters import CausalPairGraphAdapter
from graphkit.modes import frozen
from graphkit.train import TensorTask, seed_everything
from graphkit.vision import CausalAdv, attack_ensemble

MAIN = "pgd_accuracy"
ARMS = ("natural", "madry", "causal", "trades", "causal_t")


def load(
    name: str = "digits", train: int | None = None, test: int | None = None
) -> list[tuple[Tensor, Tensor]]:
    """Images in [0, 1] and classes to train on, and those to judge by; MNIST at full size."""
    if name == "digits":
        return [handwritten(name, "train", train), handwritten(name, "test", test)]
    if name != "mnist":
        raise ValueError(f"this protocol runs on 'digits' or 'mnist', got {name!r}")
    from graphkit.datasets import mnist

    parts = []
    for part, count in (("train", train), ("test", test)):
        x, y = mnist(part)
        rows = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))[:count]
        parts.append((x[rows], y[rows]))
    return parts


def network(channels: int, size: int, flat: bool = False) -> nn.Sequential:
    """Features of images: three convolutions and the average of their maps, the first two strided
    on images above 8 pixels; or, ``flat``, two strided convolutions and a linear layer over all
    places.
    """
    if flat:
        width, side = channels // 4, size // 4
        return nn.Sequential(
            nn.Conv2d(1, width, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(2 * width * side * side, channels),
            nn.ReLU(),
        )
    widths, strides = (
        (1, channels // 4, channels // 2, channels),
        (1, 2, 2) if size <= 8 else (2, 2, 2),
    )
    blocks: list[nn.Module] = []
    for a, b, stride in zip(widths, widths[1:], strides, strict=False):
        blocks += [nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    channels: int = 64,
    batch_size: int = 64,
    alpha: float = 0.1,
    eps: float = 0.1,
    step: float = 0.025,
    steps: int = 7,
    test_steps: int = 20,
    ramp: float = 1.0,
    eps_ramp: float = 0.0,
    warm: int = 0,
    flat: bool = False,
    arms: tuple[str, ...] = ARMS,
) -> dict[str, float]:
    """One seed; ``ramp`` is the share of the training over which alpha rises, ``eps_ramp`` that
    over which eps does. ``warm`` so many epochs on natural images, the same for all, come first.
    """
    (x, y), (test, label) = load(**dataset)
    seed_everything(seed)
    calls = fit.settings.epochs * -(-len(y) // batch_size)
    options: dict[str, Any] = {"eps": eps, "step": step, "steps": steps}
    options |= {"ramp": round(ramp * calls), "eps_ramp": round(eps_ramp * calls)}
    start = CausalAdv(network(channels, x.size(2), flat), channels, 10, **options)
    natural = TensorTask((x, y), lambda m, x, y: F.cross_entropy(m(x), y), batch_size)
    if warm:
        fit_warm = Fitter({**fit.train, "epochs": warm}, seed, fit.fabric, watch=fit.watch)
        fit_warm(start, natural, tag="warm")
    robust = TensorTask((x, y), lambda m, x, y: m.loss(x, y=y), batch_size)
    metrics: dict[str, float] = {}
    for arm in arms:
        model = copy.deepcopy(start)
        model.variant = "T" if arm in ("trades", "causal_t") else "M"
        model.alpha = alpha if arm.startswith("causal") else 0.0
        fit(model, natural if arm == "natural" else robust, tag=arm)
        metrics |= judged(model, arm, test, label, eps, test_steps, seed)
    metrics["pgd_accuracy"] = metrics["pgd_causal"]
    for rival in ("natural", "madry"):
        if rival in arms:
            metrics[f"over_{rival}"] = metrics["pgd_causal"] - metrics[f"pgd_{rival}"]
    if "natural" in arms:
        metrics["clean_over_natural"] = metrics["clean_causal"] - metrics["clean_natural"]
    return metrics


def judged(
    model: CausalAdv, arm: str, x: Tensor, y: Tensor, eps: float, steps: int, seed: int
) -> dict[str, float]:
    """Accuracies of a network under attack, and what its graph says."""
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    extra = None
    if model.alpha:
        with torch.no_grad():
            target = model.style_classifier(model.style(model.features(x))).softmax(1)

        def extra(z: Tensor) -> Tensor:
            f = model.features(z)
            guess = model.style_classifier(model.style(f))
            return F.cross_entropy(model.head(f), y) + F.cross_entropy(guess, target)

    with frozen(model):
        right = attack_ensemble(model, x, y, eps, eps / 4, steps, extra=extra, generator=generator)
    metrics = {
        f"{name}_{arm}": float(right[name].float().mean()) for name in ("clean", "pgd", "all")
    }
    if arm not in ("natural", "madry", "causal"):
        return metrics
    if arm == "causal":
        model.refresh()  # The head has moved once since its last loss.
        metrics["orthogonal"] = correlation(model)
    rows = torch.arange(min(len(y), 500))
    graph = CausalPairGraphAdapter(model)(x[rows], model.attack(x[rows], y=y[rows]), y[rows])
    for relation in ("content", "style"):
        for kind in ("natural", "adversarial"):
            edges = graph[kind, f"{relation}_near", kind].edge_index
            metrics[f"{relation}_{kind}_{arm}"] = float(homophily(edges, graph[kind].y))
    return metrics


@torch.no_grad()
def correlation(model: CausalAdv) -> float:
    """The largest covariance of a content logit and a style, relative to the logits' part of it."""
    content = model.head.weight @ model.moments.cov[0]
    return float((content @ model.basis.t()).abs().max() / content.norm())
