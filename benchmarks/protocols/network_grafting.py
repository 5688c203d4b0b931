"""Few unlabelled samples: NetGraft beside plain distillation, of images or of a graph's nodes.

Per seed a teacher is trained, then with every number of ``shots`` per class two students of the
same initial weights learn from its logits alone, with the same loss, samples and number of
optimizer steps: ``kd_K`` all at once, ``netgraft_K`` block by block, its adapters merged.
``block_L_K`` is the hybrid with block L alone grafted, ``blocks_K`` the worst of them,
``joined_K`` all blocks put together before they are trained together, ``gain_K`` NetGraft less
distillation and ``gain`` that of the first number of shots. All are accuracies on test samples;
nothing is selected, the last weights count.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.grafting import Problem, learn, load
from graphkit.compress import BlockNet, NetGraft
from graphkit.train import seed_everything

__all__ = ["MAIN", "load", "run"]

MAIN = "gain"


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    teacher: int = 24,
    student: int = 6,
    shots: Sequence[int] = (1, 3),
    steps: int = 300,
    lr: float = 0.01,
    joint_lr: float = 0.003,
    kd_lr: float = 0.01,
    dropout: float = 0.5,
) -> dict[str, float]:
    """One seed; ``teacher`` and ``student`` are widths, ``train`` is the teacher's training."""
    problem = load(**{**dataset, "seed": seed})
    seed_everything(seed)
    master = problem.network(teacher, dropout)
    fit(master, problem.task, tag="teacher")
    seed_everything(seed)
    start = problem.network(student, 0.0)
    size = [sum(p.numel() for p in net.parameters()) for net in (start, master)]
    metrics = {"teacher": problem.judge(master), "parameters": size[0] / size[1]}
    for number in shots:
        rows, pupil = problem.few(number, seed), copy.deepcopy(start)
        accuracies = grafted(problem, master, copy.deepcopy(start), rows, fit, steps, lr, joint_lr)
        count = steps * (2 * len(master) - 1)
        plain = NetGraft([master], [pupil], problem.x, **problem.context)
        learn(fit, plain, problem.task_of((True,), rows, count), kd_lr)
        accuracies["kd"] = problem.judge(pupil)
        accuracies["gain"] = accuracies["netgraft"] - accuracies["kd"]
        metrics |= {f"{name}_{number}": value for name, value in accuracies.items()}
    return metrics | {"gain": metrics[f"gain_{shots[0]}"]}


def grafted(
    problem: Problem,
    teacher: BlockNet,
    student: BlockNet,
    rows: Tensor,
    fit: Fitter,
    steps: int,
    lr: float,
    joint_lr: float,
) -> dict[str, float]:
    """Both stages; what every hybrid can do in between."""
    net = NetGraft(teacher, student, problem.x, **problem.context)
    accuracies, blocks = {}, len(student)
    for stage, mask in enumerate(net.stages()):
        if stage == blocks:
            accuracies["joined"] = problem.judge(net)
        learn(fit, net, problem.task_of(mask, rows, steps), lr if stage < blocks else joint_lr)
        if stage < blocks:
            accuracies[f"block_{stage}"] = problem.judge(net, grafted=mask)
    merged = net.merge(problem.x, **problem.context)
    accuracies |= {"blocks": min(accuracies[f"block_{level}"] for level in range(blocks))}
    return accuracies | {"netgraft": problem.judge(merged), "adapters": problem.judge(net)}
