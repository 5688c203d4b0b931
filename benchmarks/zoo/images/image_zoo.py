"""Trains the networks of the image zoo and measures how well each transfers to each task."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.harness.fingerprint import code_fingerprint
from benchmarks.zoo.images import networks, tasks
from benchmarks.zoo.images.tasks import TASKS, Task, task
from benchmarks.zoo.probing import linear_probe
from graphkit.datasets import cache_root
from graphkit.files import replacing
from graphkit.guard import reading
from graphkit.tensor_files import read_tensors
from graphkit.train import seed_everything

__all__ = ["TASKS", "Budget", "few", "finetune", "pretrained", "probe", "train", "untrained"]


@dataclass(frozen=True)
class Budget:
    """How much training a network of the zoo gets.

    Args:
        steps (int): Steps of pre-training.
        tune_steps (int): Steps of fine-tuning.
        batch_size (int): Images per step.
        lr (float): Largest learning rate of Adam's one cycle.
        labels (int): Labels per class of the target task that a transfer may use.
        test (int): Test images that a transfer is judged by, at most.
    """

    steps: int = 800
    tune_steps: int = 100
    batch_size: int = 64
    lr: float = 4e-3
    labels: int = 10
    test: int = 300


def shifted(x: Tensor, generator: torch.Generator) -> Tensor:
    """The images, moved together by up to two pixels each way."""
    down, right = torch.randint(-2, 3, (2,), generator=generator).tolist()
    return torch.roll(x, (down, right), (2, 3))


def train(
    model: nn.Module, x: Tensor, y: Tensor, steps: int, budget: Budget, seed: int
) -> nn.Module:
    """Adam with one cycle of the learning rate; batches are drawn and moved at random."""
    generator = torch.Generator().manual_seed(seed)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=budget.lr, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, budget.lr, total_steps=steps)
    for _ in range(steps):
        rows = torch.randint(len(x), (min(budget.batch_size, len(x)),), generator=generator)
        loss = F.cross_entropy(model(shifted(x[rows], generator)), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def untrained(name: str, _: Budget | None = None) -> networks.Network:
    """The untrained network of a task, the same in any budget."""
    place = list(TASKS).index(name)
    seed_everything(place)
    return networks.build(place, task(name).num_classes)


def mark(budget: Budget) -> str:
    """Tells apart networks that were trained by other code or with other settings."""
    code = code_fingerprint([(networks.__name__, ""), (tasks.__name__, "")])
    return f"{budget.steps}-{budget.batch_size}-{budget.lr:g}-{code}"


def pretrained(name: str, budget: Budget | None = None) -> networks.Network:
    """The network trained on a task; trained at the first call, then read from the cache."""
    budget = budget or Budget()
    path = cache_root() / "zoo" / "images" / mark(budget) / f"{name}.pt"
    model = untrained(name)
    if not path.is_file():
        here = task(name)
        train(model, here.x, here.y, budget.steps, budget, seed=0)
        with replacing(path) as file:
            torch.save(model.state_dict(), file)
    again = "delete it, and the network is trained again"
    weights = read_tensors(path, again)
    with reading(path, advice=again):
        model.load_state_dict(weights)
    return model.eval()


@torch.no_grad()
def predictions(model: nn.Module, x: Tensor, batch_size: int = 256) -> Tensor:
    """The outputs for many images."""
    return torch.cat([model(part) for part in x.split(batch_size)])


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of right answers."""
    return float((predictions(model.eval(), x).argmax(1) == y).float().mean())


def few(target: Task, budget: Budget, draw: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A few labelled images of each class, and test images, drawn with a seed."""
    generator = np.random.default_rng([draw, budget.labels])
    labels = target.y.numpy()
    rows = np.concatenate(
        [
            generator.permutation(np.flatnonzero(labels == c))[: budget.labels]
            for c in range(target.num_classes)
        ]
    )
    test = generator.permutation(len(target.test_y))[: budget.test]
    return target.x[rows], target.y[rows], target.test_x[test], target.test_y[test]


def finetune(source: networks.Network, name: str, budget: Budget, draw: int) -> float:
    """Test accuracy of a source with a new head, all of it trained on few labels."""
    target = task(name)
    x, y, test_x, test_y = few(target, budget, draw)
    seed_everything(draw)
    model = deepcopy(source)
    model.head = nn.Linear(source.head.in_features, target.num_classes)
    train(model.train(), x, y, budget.tune_steps, budget, seed=draw)
    return accuracy(model, test_x, test_y)


def probe(source: networks.Network, name: str, budget: Budget, draw: int) -> float:
    """Test accuracy of a linear classifier on the source's features, with few labels."""
    x, y, test_x, test_y = few(task(name), budget, draw)
    encoder = source.encoder.eval()
    return linear_probe(predictions(encoder, x), y, predictions(encoder, test_x), test_y)
