"""Few-shot episodes of Omniglot: class regularization beside prototypes, tasks as graphs.

Base classes are the alphabets of ``small1``, new ones those of ``small2`` that are not in it; every
rotation by 90 degrees makes a class of its own, on the side of its character. Arms:
``pretrained``, prototypes of embeddings trained by cosine classification; ``prototype``, the same
trained on by episodes; ``crn``, class regularization from a random basis, trained by the same
episodes; ``crn_weights``, from a basis of the class weights. ``shift`` is the descriptors' variance
over tasks against that between classes, of classes of equal number in all arms.

``graph`` is the downstream result: label propagation along ``near`` of the graph of each task,
from the supports' labels, beside the nearest prototype (``pretrained``) on the same embeddings
and episodes.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import LabelPropagation
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.characters import load, network
from graphkit.adapters import EpisodeGraphAdapter
from graphkit.train import seed_everything
from graphkit.vision import (
    ClassRegularization,
    EpisodeTask,
    TensorTask,
    draw_episode,
    meta_shift,
)

MAIN = "shift_ratio"


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    episode_epochs: int = 4,
    episodes: int = 50,
    lr: float = 0.0005,
    tasks: int = 300,
    k: int = 8,
    alpha: float = 0.8,
) -> dict[str, float]:
    """One seed: ``train`` is the first stage, ``episode_epochs`` and ``lr`` the second."""
    data = load(**dataset)
    x, y = data["base"]
    seed_everything(seed)
    embed, channels = network()
    first = ClassRegularization(embed, channels, int(y.max()) + 1, variant="prototype")
    everywhere = TensorTask((x, y), classify, 64)
    fit(first, everywhere, tag="base")
    models = {"pretrained": first}
    # Each arm trains a copy of the same first stage; the arm `crn` draws its decoder anew, the
    # arm `crn_weights` keeps what the first stage made of it.
    for arm, variant in (
        ("prototype", "prototype"),
        ("crn", "decoder"),
        ("crn_weights", "decoder"),
    ):
        seed_everything(seed)
        model = copy.deepcopy(first)
        model.variant = variant
        if arm == "crn":
            model.reset_parameters()
        settings = {**fit.train, "epochs": episode_epochs, "lr": lr}
        second = Fitter(settings, seed, fit.fabric, watch=fit.watch)
        second(model, EpisodeTask(x, y, episodes=episodes))
        models[arm] = model
    metrics: dict[str, float] = {}
    x, y = data["new"]
    for arm, model in models.items():
        qualities = judged(model.eval(), x, y, tasks)
        metrics |= {f"{key}_{arm}": value for key, value in qualities.items()}
    metrics["shift_ratio"] = metrics["shift_crn"] / metrics["shift_prototype"]
    metrics["gain_accuracy"] = metrics["accuracy_crn"] - metrics["accuracy_prototype"]
    metrics["accuracy_graph"] = propagated(first.eval(), x, y, tasks, k, alpha)
    metrics["graph_gain"] = metrics["accuracy_graph"] - metrics["accuracy_pretrained"]
    return metrics


def classify(model: Any, x: Tensor, y: Tensor) -> Tensor:
    """The global loss."""
    return F.cross_entropy(model.global_logits(model(x)), y)


@torch.no_grad()
def judged(model: ClassRegularization, x: Tensor, y: Tensor, tasks: int) -> dict[str, float]:
    """Accuracy of 5-way 1-shot episodes of new classes, and the meta shift of all of them."""
    f = torch.cat([model(part) for part in x.split(512)])
    generator, right = torch.Generator().manual_seed(0), []
    for _ in range(tasks):
        support, query, _ = draw_episode(y, 5, 1, 10, generator)
        scores = model.scores(f[query].flatten(0, 1), model.describe(f[support]))
        right.append((scores.argmax(1).view(5, 10) == torch.arange(5).unsqueeze(1)).float().mean())
    kinds = int(y.max()) + 1
    draws = [draw_episode(y, kinds, 1, 0, generator) for _ in range(15)]
    rows = torch.stack([support[classes.argsort()] for support, _, classes in draws], 1)
    descriptors = model.describe(f[rows.flatten()].unsqueeze(1)).view(kinds, 15, -1)
    return {"accuracy": float(torch.stack(right).mean()), "shift": float(meta_shift(descriptors))}


@torch.no_grad()
def propagated(
    model: ClassRegularization, x: Tensor, y: Tensor, tasks: int, k: int, alpha: float
) -> float:
    """Accuracy of label propagation on the graphs of the same episodes."""
    f = torch.cat([model(part) for part in x.split(512)])
    embedded = copy.deepcopy(model)
    embedded.embed = nn.Identity()
    adapter, spread = EpisodeGraphAdapter(embedded, k), LabelPropagation(20, alpha)
    generator, right = torch.Generator().manual_seed(0), []
    target = torch.arange(5).repeat_interleave(10)
    for _ in range(tasks):
        support, query, _ = draw_episode(y, 5, 1, 10, generator)
        graph = adapter(f[support], f[query].flatten(0, 1), target)
        sample, near = graph["sample"], graph["near"]
        known = F.one_hot(sample.y.clamp(min=0), 5).float() * sample.support.unsqueeze(1)
        sharp = ((2 * near.edge_weight - 2) * 10).exp()
        edges, weight = gcn_norm(near.edge_index, sharp, len(known), add_self_loops=False)
        beliefs = spread(known, edges, edge_weight=weight)
        right.append((beliefs[~sample.support].argmax(1) == target).float().mean())
    return float(torch.stack(right).mean())
