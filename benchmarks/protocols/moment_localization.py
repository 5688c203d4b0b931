"""Localising actions of which only trimmed moments were seen, beside actions with segments.

Base classes come in untrimmed videos with their segments, target classes as trimmed moments alone;
test videos show target classes alone. Arms of an AherNet, with the same first weights, videos and
moments: ``none``, neither weight transfer nor context; ``transfer``, weight transfer alone;
``repeat``, ``random`` and ``adversarial``, weight transfer and moments in contexts of repeated
frames, of an untrained generator, and of one that plays against a discriminator; ``plain``, these
contexts without weight transfer; ``oracle``, the same network on videos of the target classes with
their segments.

``map_…`` is the mean average precision on test videos. ``gain_context``, the main metric, is that
of ``adversarial`` over ``none`` at tIoU .5, ``gain_repeat`` and ``gain_random`` over those,
``gain_transfer`` that of ``transfer`` over ``none``, ``gap_oracle`` what is missing to the oracle.
``deceived`` is the share of backgrounds in context that the discriminator takes for real at the
end.

The weights of localisers as nodes of ClassTransferGraphAdapter's graph, where those of all classes
are known: a network whose localisers were supervised for all classes, and classifiers of moments on
its maps. ``cosine_gcn`` is how near a graph convolution over classes comes to the target classes'
localisers, from the classifiers, learned on base classes alone; ``cosine_mlp`` the same layers
without neighbours, which is the paper's transfer, ``cosine_copy`` no layer at all.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn import GraphConv

from benchmarks.problems.action_frames import Clips, known_actions, moments
from benchmarks.problems.localisation import (
    MOMENT,
    classifiers,
    slow_down,
    supervise,
    untrimmed,
)
from graphkit.adapters import ClassTransferGraphAdapter
from graphkit.metrics import temporal_map
from graphkit.train import seed_everything
from graphkit.vision import AherBatch, AherLoss, AherNet, AherSteps
from graphkit.vision.actions.aher_steps import Context

MAIN = "gain_context"
OVERLAPS = (0.3, 0.5, 0.7)
ARMS: dict[str, tuple[bool, Context]] = {
    "none": (False, "none"),
    "transfer": (True, "none"),
    "repeat": (True, "repeat"),
    "random": (True, "random"),
    "adversarial": (True, "adversarial"),
    "plain": (False, "adversarial"),
}
SHARES = (0.06, 0.1, 0.15, 0.2, 0.28, 0.36, 0.44)


def load(
    name: str = "digits",
    train: int = 400,
    test: int = 100,
    base: int = 5,
    fps: float = 4.0,
    noise: float = 0.15,
    context: float = 0.0,
    seed: int = 0,
) -> tuple[Clips, tuple[Tensor, Tensor], Clips, Clips]:
    """Videos of base classes; moments of target classes; test videos of these, and videos of
    these with segments, for the oracle alone. With a ``context`` over 0 background resembles the
    action next to it, as it does in real videos.
    """
    generator = torch.Generator().manual_seed(seed)
    every = range(known_actions(name))
    if not 1 <= base < len(every):
        raise ValueError(f"'base' must be in 1 … {len(every) - 1}, got {base}")
    ours, theirs = every[:base], every[base:]
    like: dict[str, Any] = {"fps": fps, "noise": noise, "context": context, "generator": generator}
    videos = untrimmed(name, "val", train, ours, **like)
    shown = moments(name, "val", train, MOMENT, noise, generator, theirs)
    judged = untrimmed(name, "test", test, theirs, **like)
    seen = untrimmed(name, "val", train, theirs, **like)
    return videos, shown, judged, seen


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    note_size: Any,
    network: dict[str, Any] | None = None,
    steps: int = 300,
    batch_size: int = 16,
    lr: float = 0.001,
    adversary_lr: float = 0.001,
    positive: float = 0.5,
    arms: tuple[str, ...] | list[str] = (*ARMS, "oracle"),
    k: int = 3,
) -> dict[str, float]:
    """One seed; a step is one round of AherNet's six, ``k`` are neighbours of a class."""
    videos, shown, judged, seen = load(**{**dataset, "seed": seed})
    metrics: dict[str, float] = {}
    for arm in arms:
        # Same first weights and same batches: arms differ by what they learn from alone.
        seed_everything(seed)
        transfer, context = ARMS.get(arm, ARMS["none"])
        model = AherNet(
            videos.x.size(1), videos.classes, judged.classes, transfer=transfer, **(network or {})
        )
        note_size(model)
        loss, generator = AherLoss(positive=positive), torch.Generator().manual_seed(seed)
        if arm == "oracle":
            supervise(model, loss, seen, steps, batch_size, lr, generator)
        else:
            stepper = AherSteps(
                model,
                loss=loss,
                context=context,
                lr=lr,
                adversary_lr=adversary_lr,
                shares=SHARES,
                seed=seed,
            )
            for number in range(steps):
                if number == 3 * steps // 4:
                    slow_down(stepper.optimizers.values())
                stepper.iterate(draw(videos, shown, batch_size, generator))
            if arm == "adversarial":
                metrics["deceived"] = deceived(stepper, draw(videos, shown, 64, generator))
        # Nobody has seen where actions of these classes begin and end, but for the oracle.
        found = temporal_map(model.eval().detect(judged.x), judged.truth, OVERLAPS)
        metrics |= {f"map_{100 * t:.0f}_{arm}": value for t, value in found.items()}
    for name, first, second in (
        ("gain_context", "adversarial", "none"),
        ("gain_repeat", "adversarial", "repeat"),
        ("gain_random", "adversarial", "random"),
        ("gain_transfer", "transfer", "none"),
        ("gap_oracle", "oracle", "adversarial"),
    ):
        if {first, second} <= set(arms):
            metrics[name] = metrics[f"map_50_{first}"] - metrics[f"map_50_{second}"]
    return metrics | weights_transferred(dataset, network or {}, steps, batch_size, lr, k, seed)


def draw(
    videos: Clips, shown: tuple[Tensor, Tensor], count: int, generator: torch.Generator
) -> AherBatch:
    """Moments and videos, drawn apart."""
    one = torch.randint(len(shown[0]), (count,), generator=generator)
    two = torch.randint(len(videos.x), (count,), generator=generator)
    truth = [videos.truth[row] for row in two.tolist()]
    return AherBatch(shown[0][one], shown[1][one], videos.x[two], truth)


@torch.no_grad()
def deceived(stepper: AherSteps, batch: AherBatch) -> float:
    """Share of backgrounds of moments in context that are taken for real."""
    x, truth = stepper.sequences(batch)
    _, fake = stepper.backgrounds(batch, truth)
    score = stepper.discriminator(stepper.model.pyramid(x))
    return float((score[fake] > 0).float().mean())


def weights_transferred(
    dataset: dict[str, Any],
    network: dict[str, Any],
    steps: int,
    batch_size: int,
    lr: float,
    k: int,
    seed: int,
) -> dict[str, float]:
    """How near localisers of target classes are met by layers that base classes have taught."""
    name, base = dataset.get("name", "digits"), dataset.get("base", 5)
    generator = torch.Generator().manual_seed(1000 + seed)
    every, count = range(known_actions(name)), dataset.get("train", 400)
    like = {key: dataset[key] for key in ("fps", "noise", "context") if key in dataset}
    seen = untrimmed(name, "val", count, every, generator=generator, **like)
    x, kind = moments(name, "val", count, MOMENT, dataset.get("noise", 0.15), generator, every)
    seed_everything(seed)
    model = AherNet(x.size(1), 1, len(every), transfer=False, **network)
    supervise(model, AherLoss(positive=0.5), seen, steps, batch_size, lr, generator)
    _, located, _ = model.class_weights()
    classified = classifiers(model, x, kind, len(every))
    known = torch.arange(len(every)) < base
    # The first class stands for the base that this network does not need.
    graph = ClassTransferGraphAdapter(k)(classified, located[:, 1:], known)
    head, truth = graph["head"], located[:, 1:].flatten(0, 1)
    links = graph["head", "similar", "head"]
    metrics = {"cosine_copy": nearness(head.x, truth, ~head.known)}
    for arm, hops in (("mlp", 0), ("gcn", 1)):
        seed_everything(seed)
        layers = Transfer(head.x.size(1), hops)
        optimizer = torch.optim.Adam(layers.parameters(), lr=0.003, weight_decay=1e-4)
        for _ in range(200):
            optimizer.zero_grad()
            guess = layers(head.x, links.edge_index, links.edge_weight)
            (guess - truth)[head.known].square().mean().backward()
            optimizer.step()
        guess = layers(head.x, links.edge_index, links.edge_weight).detach()
        metrics[f"cosine_{arm}"] = nearness(guess, truth, ~head.known)
    metrics["gain_gcn"] = metrics["cosine_gcn"] - metrics["cosine_mlp"]
    return metrics


class Transfer(torch.nn.Module):
    """Two layers from weights to weights that begin as the identity, with neighbours or without."""

    def __init__(self, channels: int, hops: int) -> None:
        super().__init__()
        self.own = torch.nn.ModuleList(torch.nn.Linear(channels, channels) for _ in range(2))
        self.near = torch.nn.ModuleList(
            GraphConv(channels, channels, aggr="mean") for _ in range(2 * hops)
        )
        for layer in self.own:
            torch.nn.init.eye_(layer.get_parameter("weight"))
            torch.nn.init.zeros_(layer.get_parameter("bias"))
        for parameter in self.near.parameters():
            torch.nn.init.zeros_(parameter)

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
        for number, layer in enumerate(self.own):
            heard = self.near[number](x, edge_index, edge_weight) if len(self.near) else 0.0
            x = F.elu(layer(x) + heard)
        return x


def nearness(guess: Tensor, truth: Tensor, rows: Tensor) -> float:
    """Mean cosine of some rows."""
    return float(F.cosine_similarity(guess[rows], truth[rows]).mean())
