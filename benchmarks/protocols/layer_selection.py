"""Which layer of a source network to start from, and what the choice costs.

For every block of the source: a new network of the same build gets the blocks up to it from the
source, frozen with their statistics, and the rest, drawn anew, is trained on few labels of the
target; ``accuracy_…`` is its test accuracy, averaged over draws of labels and weights.
``regret_…`` is the best block's accuracy less that of the chosen one: by DEPARA (at several
weights of its edges), its node and edge part alone, and the floors: the ``first`` and the
``last`` block, and a ``random`` one in expectation. The probes are the target's unlabelled
images; the target's network is the zoo's. Regrets without a pair's name are means over pairs.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.zoo.images.image_zoo import Budget, accuracy, few, pretrained, train
from benchmarks.zoo.images.networks import Network, build
from benchmarks.zoo.images.tasks import TASKS, load_pool, task
from graphkit.train import seed_everything
from graphkit.transfer import rank_layers

MAIN = "regret_depara"


def load(name: str = "images", pairs: list[list[str]] | None = None, probes: int = 100) -> str:
    """The image zoo; ``pairs`` are sources and targets by name."""
    if name != "images":
        raise ValueError(f"layers are selected in the zoo 'images', got {name!r}")
    return name


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    note_size: Callable[[nn.Module], None],
    method: str = "input_x_gradient",
    weight: float = 1.0,
    large_weight: float = 10.0,
    draws: int = 2,
    steps: int = 80,
) -> dict[str, float]:
    """All pairs for one draw of probes, labels and weights."""
    load(**dataset)
    metrics: dict[str, float] = {}
    lost: dict[str, list[float]] = {}
    for source_name, target_name in dataset["pairs"]:
        source, target = pretrained(source_name), pretrained(target_name)
        note_size(source)
        blocks = blocks_of(source)
        probes = probes_of(target_name, dataset.get("probes", 100), seed)
        rows = rank_layers(source, blocks, target, blocks_of(target)[-1], probes, method)
        parts = {row.name: (row.node, row.edge) for row in rows}
        results = [
            statistics.fmean(
                transferred(source, source_name, target_name, place, steps, draws * seed + draw)
                for draw in range(draws)
            )
            for place in range(len(blocks))
        ]
        stem = f"{source_name}_to_{target_name}"
        metrics |= {f"accuracy_{stem}_{i}": value for i, value in enumerate(results)}
        node, edge = torch.tensor([parts[block] for block in blocks]).T
        for chooser, value in regrets(results, node, edge, weight, large_weight).items():
            metrics[f"regret_{chooser}_{stem}"] = value
            lost.setdefault(chooser, []).append(value)
    return metrics | {f"regret_{name}": statistics.fmean(values) for name, values in lost.items()}


def blocks_of(network: Network) -> list[str]:
    """The names of a network's blocks, first to last."""
    names = [name for name, _ in network.encoder.named_children()]
    return [f"encoder.{name}" for name in names if name.startswith("block")]


def regrets(
    results: list[float], node: Tensor, edge: Tensor, weight: float, large_weight: float
) -> dict[str, float]:
    """What every way of choosing a block costs in accuracy."""
    best = max(results)
    scores = {
        "depara": node + weight * edge,
        "depara_large": node + large_weight * edge,
        "node": node,
        "edge": edge,
    }
    lost = {name: best - results[int(score.argmax())] for name, score in scores.items()}
    return lost | {
        "first": best - results[0],
        "last": best - results[-1],
        "random": best - statistics.fmean(results),
    }


def probes_of(target: str, count: int, seed: int) -> Tensor:
    """Unlabelled test images of the target's domain."""
    images = load_pool(task(target).domain).test
    generator = torch.Generator().manual_seed(seed)
    return images[torch.randperm(len(images), generator=generator)[:count]].float() / 255


def transferred(
    network: Network, source: str, target: str, place: int, steps: int, draw: int
) -> float:
    """Test accuracy with the blocks up to a place from the source and the rest trained."""
    budget = Budget(labels=20)
    x, y, test_x, test_y = few(task(target), budget, draw)
    seed_everything(draw)
    model = build(list(TASKS).index(source), task(target).num_classes)
    old, new = (list(whole.encoder.children()) for whole in (network, model))
    halves = FrozenPrefix(old[: place + 1], [*new[place + 1 :], model.head])
    train(halves.train(), x, y, steps, budget, seed=draw)
    return accuracy(halves, test_x, test_y)


class FrozenPrefix(nn.Module):
    """Blocks that stay as they are, statistics included, and others that are trained."""

    def __init__(self, prefix: list[nn.Module], rest: list[nn.Module]) -> None:
        super().__init__()
        self.prefix = nn.Sequential(*prefix).requires_grad_(False)
        self.rest = nn.Sequential(*rest)

    def train(self, mode: bool = True) -> FrozenPrefix:
        super().train(mode)
        self.prefix.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(self.prefix(x))
