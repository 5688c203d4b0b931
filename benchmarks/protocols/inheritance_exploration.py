"""Does one half of a student inherit and the other explore: IE-KD beside its parts.

A teacher learns from labelled images, then students of the same initial weights do, on the same
images and in as many steps: ``ce`` from the labels alone, ``inherit`` with inheritance alone,
``ie`` with both; ``kd`` from the teacher's soft targets. Accuracies on test images are
``test_accuracy`` (``ie``), ``ce``, ``inherit``, ``kd`` and ``teacher``, ``gain`` is ``ie`` less
``ce``, between ``gain_low`` and ``gain_high``: the 95 % interval over test images, each a pair.

The mechanism, on test images: distances from the teacher's factors, ``inherit_ie`` and so on, by
the encoders as they are; those of ``ce`` were never trained. ``inherit_ratio`` is that of ``ie``
over that of ``ce``, ``explore_ratio`` the exploring half's over that of ``inherit``.
``probe_ie`` and ``probe_ce`` are fairer: what an encoder of the inheriting half reaches when it is
trained afterwards, on features that no longer move. An encoder can move where features do not, so
``gap_ie`` and ``gap_ce`` compare features: CKA with the teacher's, centred within classes, of the
inheriting half less that of the exploring one.

The downstream result, on ChannelGraphAdapter's graph: ``mass_inherit`` and ``mass_explore``, the
mean weight of a channel's edges to the teacher; ``homophily``, the share of edges within the
student between channels of one half, beside ``homophily_chance``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.utils import homophily

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.canvas import classifier
from benchmarks.problems.images import handwritten
from benchmarks.problems.inheritance import attach, classify, inner
from benchmarks.problems.residual import ResidualNet, objects
from graphkit.adapters import ChannelGraphAdapter
from graphkit.distill import Distillation, InheritanceExploration
from graphkit.distill.losses.inheritance_exploration import factor_distance
from graphkit.modes import evaluating
from graphkit.train import TensorTask, Trainer, seed_everything
from graphkit.transfer import cka

MAIN = "inherit_ratio"


def load(
    name: str = "digits", images: int = 200, test: int = 719, seed: int = 0
) -> tuple[list[Tensor], Callable[[int], nn.Module], str, int]:
    """Images and classes to train on and to judge by, networks of any width, the module of their
    last maps and how many channels that has per unit of width.
    """
    network: Callable[..., nn.Module]
    if name == "digits":
        (x, y), (other, label) = (handwritten(name, part) for part in ("train", "test"))
        network, layer = classifier, "8"
    else:
        x, y, other, label = objects(name)
        network, layer = ResidualNet, "stages"
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(y), generator=generator)[:images]
    judged = torch.randperm(len(label), generator=torch.Generator().manual_seed(0))[:test]
    return [x[rows], y[rows], other[judged], label[judged]], network, layer, 4


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    teacher: int = 8,
    student: int = 16,
    factors: int = 16,
    weight: float = 50.0,
    factor_epochs: int = 30,
    batch_size: int = 64,
    arms: tuple[str, ...] = ("ce", "inherit", "ie", "kd"),
) -> dict[str, float]:
    """One seed; ``teacher`` and ``student`` are widths, ``weight`` is that of both terms."""
    (x, y, test, label), network, layer, times = load(**{**dataset, "seed": seed})
    seed_everything(seed)
    master = network(teacher)
    fit(master, TensorTask((x, y), classify, batch_size), tag="teacher")
    given, wanted = (inner(master, layer, each) for each in (x, test))
    seed_everything(seed)
    # One student and one set of encoders for all arms: they differ by their losses alone.
    start = network(student)
    terms = InheritanceExploration(times * student, times * teacher, factors)
    trainer = Trainer(factor_epochs, monitor=None, seed=seed, progress=False)
    terms.learn_factors(given, trainer=trainer)
    right, metrics = {"teacher": correct(master, test, label)}, {}
    for arm in arms:
        model = attach(arm, copy.deepcopy(start), master, copy.deepcopy(terms), layer, weight)
        seed_everything(seed)
        task = TensorTask((x, y), classify, batch_size)
        fit(model, task, [Distillation(model)], tag=arm)
        right[arm] = correct(model.student, test, label)
        # Soft targets have no factors, and so no distances.
        if arm == "kd":
            continue
        judge: Any = model.losses[0]
        seen = inner(model.student, layer, test)
        metrics[f"inherit_{arm}"], metrics[f"explore_{arm}"] = judge.distances(seen, wanted)
        metrics[f"gap_{arm}"] = gap(seen, wanted, label, judge)
        if arm != "inherit":
            features = inner(model.student, layer, x)
            probed = probe(features, given, copy.deepcopy(terms), seed, factor_epochs)
            metrics[f"probe_{arm}"] = probed(seen, wanted)
        if arm == "ie":
            adapter = ChannelGraphAdapter(model.student, master, (layer, layer), judge.explore)
            metrics |= channels(adapter(test, y=label))
    metrics |= {name: float(value.mean()) for name, value in right.items() if name != "ie"}
    metrics["test_accuracy"] = float(right["ie"].mean())
    metrics["inherit_ratio"] = metrics["inherit_ie"] / metrics["inherit_ce"]
    if "inherit" in arms:
        metrics["explore_ratio"] = metrics["explore_ie"] / metrics["explore_inherit"]
    return metrics | paired(right["ie"], right["ce"])


@torch.no_grad()
def correct(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Which images are classified right."""
    with evaluating(model):
        return torch.cat([model(part).argmax(1) for part in x.split(500)]).eq(y).double()


def gap(student: Tensor, teacher: Tensor, y: Tensor, terms: InheritanceExploration) -> float:
    """CKA with the teacher within classes: of the inheriting half less the exploring one's."""
    halves = [student[:, terms.inherit], student[:, terms.explore]]
    near, far = (cka(within(half, y), within(teacher, y)) for half in halves)
    return near - far


def within(features: Tensor, y: Tensor) -> Tensor:
    """Features less the mean of their class."""
    flat = features.flatten(1)
    total = flat.new_zeros(int(y.max()) + 1, flat.size(1)).index_add_(0, y, flat)
    return flat - (total / y.bincount().clamp(min=1).unsqueeze(1))[y]


def probe(
    student: Tensor, teacher: Tensor, terms: InheritanceExploration, seed: int, epochs: int
) -> Callable[[Tensor, Tensor], float]:
    """An encoder of the inheriting half trained on features that do not move."""
    with torch.no_grad():
        wanted = terms.coder(teacher)
    task = TensorTask((student[:, terms.inherit], wanted), lambda m, f, g: factor_distance(m(f), g))
    optimizer = torch.optim.Adam(terms.inherits.parameters(), lr=0.003)
    trainer = Trainer(epochs, monitor=None, seed=seed, progress=False)
    trainer.fit(terms.inherits, optimizer, task)
    return lambda f, g: terms.distances(f, g)[0]


def channels(graph: HeteroData) -> dict[str, float]:
    """How strongly each half is linked to the teacher, and to itself."""
    y, taught = graph["student_channel"].y, graph["student_channel", "teacher_channel"]
    mass = torch.zeros(len(y)).index_add_(0, taught.edge_index[0], taught.edge_weight)
    same = graph["student_channel", "student_channel"].edge_index
    share = y.float().mean()
    return {
        "mass_inherit": float(mass[y == 0].mean()),
        "mass_explore": float(mass[y == 1].mean()),
        "homophily": homophily(same, y, method="edge") if same.numel() else 0.0,
        "homophily_chance": float(share**2 + (1 - share) ** 2),
    }


def paired(first: Tensor, second: Tensor) -> dict[str, float]:
    """The difference of two accuracies and its 95 % interval over images."""
    apart = first - second
    half = 1.96 * float(apart.std()) / len(apart) ** 0.5
    gain = float(apart.mean())
    return {"gain": gain, "gain_low": gain - half, "gain_high": gain + half}
