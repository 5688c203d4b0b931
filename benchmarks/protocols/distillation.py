"""A teacher, students of several sizes, and every way of distilling one into the other.

Per seed one teacher is trained, then for every student and every budget each arm: the same
initial weights, the same batches, the best epoch by validation. ``gain_…`` is an arm less
``labels`` of the same seed, so its deviation is that of the paired difference; ``gain_ARM`` is
that with the recipe's last student and last budget.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.distillation import Problem, load
from graphkit.distill import (
    AttentionTransferLoss,
    Distillation,
    DistillationLoss,
    Distiller,
    FitNetLoss,
    GlobalStructureLoss,
    GraphContrastiveLoss,
    LocalStructureLoss,
    MMDLoss,
    SoftTargetLoss,
)
from graphkit.modes import evaluating
from graphkit.taps import tap
from graphkit.train import seed_everything

__all__ = ["ARMS", "MAIN", "load", "run"]

MAIN = "gain_lsp"
OUTPUT = ("", "")

ARMS: dict[str, tuple[Callable[..., DistillationLoss], float]] = {
    "kd": (SoftTargetLoss, 1.0),
    "fitnet": (FitNetLoss, 1.0),
    "at": (AttentionTransferLoss, 1.0),
    "mmd": (MMDLoss, 1.0),
    "gsp": (GlobalStructureLoss, 1.0),
    "lsp": (LocalStructureLoss, 100.0),
    "gcrd": (GraphContrastiveLoss, 0.1),
}


def run(
    dataset: dict[str, Any],
    teacher: dict[str, Any],
    students: dict[str, dict[str, Any]],
    *,
    seed: int,
    fit: Fitter,
    arms: dict[str, dict[str, Any]] | None = None,
    budgets: dict[str, dict[str, Any]] | None = None,
) -> dict[str, float]:
    """All students, budgets and arms of one seed.

    Networks are ``{name, pair, graph, train, …}``: the module whose features are compared, the
    module that builds its edges, changes to ``train``, and the model's own arguments. Arms are
    ``{name: {weight, epochs, …}}`` with the arguments of the loss; ``budgets`` are changes to
    ``train``.
    """
    problem = load(**{**dataset, "seed": seed})
    methods = {name: {} for name in ARMS} if arms is None else arms
    seed_everything(seed)
    master = Network(teacher, problem)
    metrics = master.measure("teacher", problem)
    scores = master.learn(fit, problem, "teacher")
    metrics |= {"teacher": scores["test"], "val_teacher": scores["val"]}
    for size, settings in students.items():
        metrics |= Network(settings, problem).measure(size, problem)
        for budget, changes in (budgets or {"converged": {}}).items():
            stem = f"{budget}_{size}"
            for arm in ("labels", *methods):
                seed_everything(seed)
                pupil = Network(settings, problem)
                model, callbacks = pupil.attach(master, problem, arm, methods.get(arm, {}))
                tag = f"{stem}_{arm}"
                scores = pupil.learn(fit, problem, tag, model, callbacks, changes)
                metrics |= {tag: scores["test"], f"val_{tag}": scores["val"]}
                if arm != "labels":
                    metrics[f"gain_{tag}"] = metrics[tag] - metrics[f"{stem}_labels"]
                    metrics[f"gain_{arm}"] = metrics[f"gain_{tag}"]
    return metrics


class Network:
    """A model of a recipe, with the names of the modules that distillation looks at."""

    def __init__(self, settings: dict[str, Any], problem: Problem) -> None:
        rest = dict(settings)
        self.pair, self.graph = rest.pop("pair"), rest.pop("graph", None)
        self.train = rest.pop("train", {})
        self.model = problem.network(rest.pop("name"), **rest)
        with torch.no_grad(), evaluating(self.model), tap(self.model, self.pair) as seen:
            problem.call(self.model)
        self.width = seen[self.pair].output.size(-1)

    def learn(
        self,
        fit: Fitter,
        problem: Problem,
        tag: str,
        model: nn.Module | None = None,
        callbacks: tuple[Distillation, ...] = (),
        changes: dict[str, Any] | None = None,
    ) -> dict[str, float]:
        """Scores after training the model, or the distiller around it, as the settings say."""
        fit_here = dataclasses.replace(fit, train={**fit.train, **self.train, **(changes or {})})
        result = fit_here(model or self.model, problem.task, callbacks, tag)
        self.model.eval()
        return problem.scores(self.model, result)

    def attach(
        self, master: Network, problem: Problem, arm: str, options: dict[str, Any]
    ) -> tuple[nn.Module, tuple[Distillation, ...]]:
        """The model of an arm and its callbacks; ``labels`` is the student alone."""
        if arm == "labels":
            return self.model, ()
        rest = dict(options)
        kind, weight = ARMS[rest.pop("method", arm)]
        weight, epochs = rest.pop("weight", weight), rest.pop("epochs", None)
        widths: tuple[int, ...] = ()
        if kind in (FitNetLoss, GraphContrastiveLoss):
            widths = (self.width, master.width)
        if kind is SoftTargetLoss:
            rest["multilabel"] = problem.multilabel
        usual = OUTPUT if kind is SoftTargetLoss else (self.pair, master.pair)
        pair = tuple(rest.pop("pair", usual))
        graphs = None
        if self.graph is not None and master.graph is not None:
            graphs = [(self.graph, master.graph)]
        model = Distiller(self.model, master.model, [pair], kind(*widths, **rest), weight, graphs)
        return model, (Distillation(model, epochs),)

    def measure(self, name: str, problem: Problem, runs: int = 11) -> dict[str, float]:
        """Parameters and the median time of one evaluation."""
        times = []
        with torch.no_grad(), evaluating(self.model):
            for _ in range(runs):
                started = time.perf_counter()
                problem.call(self.model)
                times.append(time.perf_counter() - started)
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        milliseconds = 1000 * statistics.median(times[1:])
        return {f"{name}_parameters": float(parameters), f"{name}_ms": milliseconds}
