"""SnapMix: do labels of mixed images say what is left to see, and do networks learn from them.

On canvases the truth is known: which share of a digit's ink is left outside the replaced box, and
which share of the donor's lies in the box that was taken. ``label_error_snapmix`` is the mean
distance of SnapMix's weights from it on test images, ``label_error_area`` that of the boxes'
areas, CutMix's rule, for the same boxes; ``label_error_ratio`` is the first over the second,
``correlation_*`` are correlations with the truth, ``correlation_gap`` is SnapMix's less the
area's. ``identity_error`` is the largest difference between the soft labels and one message pass
of the labels on :class:`~graphkit.adapters.ProvenanceGraphAdapter`'s graph. Networks are trained
without mixing first; the evidence is theirs.

With ``train_arms`` networks of the same initial weights are also trained, ``scratch``, or from the
network that has been trained without mixing, ``tuned``, by each kind of mixing in as many steps;
mixing is drawn for a batch with probability 1/2 and 1, as in the paper. Accuracies are
``scratch_snapmix`` and so on; ``scratch_over_cutmix`` is SnapMix's less CutMix's, with ends of the
95 % interval over test images, each a pair.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import SimpleConv

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.canvas import canvas
from benchmarks.problems.residual import ResidualNet, objects
from benchmarks.rivals.mixing import cutmix, mixup
from graphkit.adapters import ProvenanceGraphAdapter
from graphkit.modes import evaluating
from graphkit.train import TensorTask, seed_everything
from graphkit.vision import SnapMix

MAIN = "label_error_ratio"
CLASSES = 10
BATCH = 10
CHANCE = {"scratch": 0.5, "tuned": 1.0}


def load(
    name: str = "canvas", images: int = 3000, test: int = 1000, seed: int = 0, pool: int = 1
) -> tuple[list[Tensor], Tensor | None, nn.Module, tuple[str, str]]:
    """Images and classes to train on and to test with, the test images' ink where it is known, a
    network, and the names of its last maps and its head. Photographs are averaged over ``pool``
    pixels along each side.
    """
    if name == "canvas":
        train, seen = canvas("train", images, seed), canvas("test", test, seed)
        # The same draws without noise are the digits alone.
        ink = canvas("test", test, seed, noise=0.0).x[:, 0]
        return [train.x, train.y, seen.x, seen.y], ink, finder(), ("8", "11")
    x, y, other, label = objects(name)
    x, other = (F.avg_pool2d(part, pool) for part in (x, other))
    rows = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))[:images]
    judged = torch.randperm(len(label), generator=torch.Generator().manual_seed(0))[:test]
    tensors = [x[rows], y[rows], other[judged], label[judged]]
    return tensors, None, ResidualNet(), ("stages", "head")


def finder(width: int = 16) -> nn.Sequential:
    """Three convolutions, of which the first alone halves the map: its maps say where."""
    layers: list[nn.Module] = []
    channels = [1, width, 2 * width, 4 * width]
    for inside, outside, stride in zip(channels, channels[1:], (2, 1, 1), strict=False):
        layers += [
            nn.Conv2d(inside, outside, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outside),
            nn.ReLU(),
        ]
    pooled = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1], CLASSES))
    return nn.Sequential(*layers, *pooled)


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    beta: float = 5.0,
    batch_size: int = 64,
    train_arms: tuple[str, ...] = (),
    starts: tuple[str, ...] = ("scratch", "tuned"),
) -> dict[str, float]:
    """One seed of the network, the boxes and the donors."""
    seed_everything(seed)
    (x, y, test, label), ink, network, names = load(**{**dataset, "seed": seed})
    seed_everything(seed)
    model = copy.deepcopy(network)
    fit(model, TensorTask((x, y), classify, batch_size), tag="start")
    metrics = {"accuracy": float(correct(model, test, label).mean())}
    generator = torch.Generator().manual_seed(seed)
    snapmix = SnapMix(model, *names, beta=beta, generator=generator)
    if ink is not None:
        metrics |= label_errors(snapmix, test, label, ink)
    metrics["identity_error"] = identity_error(snapmix, test[:BATCH], label[:BATCH])
    for start in starts if train_arms else ():
        right = {}
        for arm in train_arms:
            seed_everything(seed)
            student = copy.deepcopy(network if start == "scratch" else model)
            if start == "scratch" and arm == "none":
                # It has been trained already.
                student = model
            else:
                mixing = SnapMix(student, *names, beta=beta, p=CHANCE[start])
                loss = losses(arm, CHANCE[start], np.random.default_rng(seed))
                fit(mixing, TensorTask((x, y), loss, batch_size), tag=f"{start}-{arm}")
            right[arm] = correct(student, test, label)
        metrics |= compared(start, right)
    return metrics


def compared(start: str, right: dict[str, Tensor]) -> dict[str, float]:
    """Accuracies of all arms, and what SnapMix has over each."""
    found = {f"{start}_{arm}": float(hits.mean()) for arm, hits in right.items()}
    for arm in [arm for arm in right if arm != "snapmix" and "snapmix" in right]:
        found |= paired(f"{start}_over_{arm}", right["snapmix"] - right[arm])
    return found


def classify(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The loss of the labels."""
    return F.cross_entropy(model(x), y)


def losses(arm: str, p: float, random: np.random.Generator) -> Callable[..., Tensor]:
    """The loss of a batch that is mixed in one way, or not at all."""
    if arm == "snapmix":
        return lambda model, x, y: model.loss(x, y)
    mixes = {"cutmix": (cutmix, 3.0), "mixup": (mixup, 1.0)}

    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        if arm == "none" or random.random() >= p:
            return classify(model, x, y)
        mix, alpha = mixes[arm]
        mixed, soft = mix(x, y, CLASSES, alpha, random)
        return F.cross_entropy(model(mixed), soft)

    return loss


@torch.no_grad()
def correct(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Which images are classified right."""
    with evaluating(model):
        return torch.cat([model(part).argmax(1) for part in x.split(500)]).eq(y).double()


def label_errors(snapmix: SnapMix, x: Tensor, y: Tensor, ink: Tensor) -> dict[str, float]:
    """How far labels are from the ink that is left, by SnapMix and by area."""
    share = ink / ink.sum((1, 2), keepdim=True)
    truth, seen, areas = [], [], []
    # Batches are small, so that there are many pairs of boxes.
    for rows in torch.arange(len(x)).split(BATCH):
        mixed = snapmix.mix(x[rows], y[rows])
        a, b = (part(share[rows], box) for box in (mixed.box_a, mixed.box_b))
        flat = torch.full_like(share[rows], 1 / share[0].numel())
        left, came = (part(flat, box) for box in (mixed.box_a, mixed.box_b))
        truth += [1 - a, b[mixed.donor]]
        seen += [mixed.weight_a, mixed.weight_b]
        areas += [1 - left, came]
    wanted, weights, rule = (torch.cat(parts) for parts in (truth, seen, areas))
    found: dict[str, float] = {}
    for name, given in (("snapmix", weights), ("area", rule)):
        found[f"label_error_{name}"] = float((given - wanted).abs().mean())
        found[f"correlation_{name}"] = float(torch.corrcoef(torch.stack([given, wanted]))[0, 1])
    found["label_error_ratio"] = found["label_error_snapmix"] / found["label_error_area"]
    found["correlation_gap"] = found["correlation_snapmix"] - found["correlation_area"]
    return found


def part(maps: Tensor, box: tuple[int, int, int, int]) -> Tensor:
    """The sum of each map in a box."""
    return maps[:, box[0] : box[2], box[1] : box[3]].sum((1, 2))


def identity_error(snapmix: SnapMix, x: Tensor, y: Tensor) -> float:
    """Soft labels against one message pass of the labels."""
    mixed = snapmix.mix(x, y)
    graph = ProvenanceGraphAdapter(snapmix.model, snapmix.layer, CLASSES)(x, mixed)
    hot = torch.where(graph.mixed.unsqueeze(1), 0.0, graph.y)
    passed = SimpleConv(aggr="sum")(hot, graph.edge_index, graph.edge_weight)
    return float((passed - graph.y)[graph.mixed].abs().max())


def paired(name: str, apart: Tensor) -> dict[str, float]:
    """The mean of differences and its 95 % interval over images."""
    half, gain = 1.96 * float(apart.std()) / len(apart) ** 0.5, float(apart.mean())
    return {name: gain, f"{name}_low": gain - half, f"{name}_high": gain + half}
