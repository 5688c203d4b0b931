"""One student from two teachers that know different classes, by soft targets and common features.

The first teacher learns half of the classes, the second the rest, with labels; the student, smaller
than both, sees samples without labels. Arms: ``kd``, soft targets alone, and ``cflW``, with common
features of weight W, from the same initial weights. All is judged on samples that nobody trained
on: images, or, if the data set is a graph and the networks GNNs, its test nodes. ``teachers`` is
the accuracy of the teachers' logits side by side, ``off_mass`` the probability that these give to
the classes of the wrong teacher.

The mechanism, for the first weight: ``mmd_start`` and ``mmd_end`` of student and teachers in the
common space, ``mmd_fall`` their ratio; ``r2`` of the teachers' features from there; ``nearest``,
the 1-NN accuracy of the student's features among those of the teacher that knows the class,
without the sample itself; ``hits``, how often a teacher's sample has the student's among its ten
nearest. Each also with the space and the student as they were before training (``…_start``), the
last two also with the student of ``kd`` and the same untrained space (``…_kd``).

The downstream result is alignment: which sample of a teacher is which of the student, when the
``same_sample`` edges of some samples are given. MMD compares distributions and cannot tell.
``links_graph`` is Hits@10 among the samples that are left, by APPNP: how much of each given sample
arrives along the ``near`` edges, compared between the networks by the Bhattacharyya coefficient.
Without the graph: ``links_common``, cosines in the common space, which is the method alone;
``links_relative``, the cosines with the given samples, compared; ``links_relative_raw``, the same
of last features. ``graph_gain`` is over the best of these; ``links_graph_raw`` has the edges of
last features in place of the adapter's.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.nn import APPNP, GAT, GCN

from benchmarks.harness.fitting import Fitter
from benchmarks.problems import nodes
from benchmarks.problems.canvas import classifier
from benchmarks.problems.images import handwritten
from graphkit.adapters import CommonSpaceGraphAdapter, knn_edges
from graphkit.distill import CommonFeatureLearning
from graphkit.distill.amalgamation.teachers import Teachers
from graphkit.distill.losses.multi_kernel import MultiKernelMMDLoss
from graphkit.metrics import accuracy, hits_at_k
from graphkit.train import TensorTask, seed_everything

MAIN = "mmd_fall"


@dataclass
class Problem:
    """Samples, who may see which, and the networks.

    Args:
        x, y (torch.Tensor): Samples and classes.
        edge_index (torch.Tensor, optional): The graph, if samples are nodes.
        labelled, unlabelled, test (torch.Tensor): Rows for teachers, for students, to judge.
        known (int): Classes of the first teacher.
        networks (callable): ``() -> [student, *teachers]``.
        layer (str): The module of last features in all of them.
        channels (tuple of int): Their channels.
    """

    x: Tensor
    y: Tensor
    edge_index: Tensor | None
    labelled: Tensor
    unlabelled: Tensor
    test: Tensor
    known: int
    networks: Callable[[], list[nn.Module]]
    layer: str
    channels: tuple[int, ...]

    def call(self, model: nn.Module, rows: Tensor) -> Tensor:
        """A model's output for some samples."""
        if self.edge_index is None:
            return model(self.x[rows])
        return model(self.x, self.edge_index)[rows]

    def loss(self, model: Any, rows: Tensor) -> Tensor:
        """The objective on some samples."""
        if self.edge_index is None:
            return model.loss(self.x[rows])
        return model.loss(self.x, self.edge_index, rows=rows)

    def inputs(self) -> tuple[tuple[Tensor, ...], Tensor]:
        """What networks take to see all test samples, and which rows of the output these are."""
        if self.edge_index is None:
            return (self.x[self.test],), torch.arange(len(self.test))
        return (self.x, self.edge_index), self.test


def load(name: str = "digits", images: int = 200, seed: int = 0) -> Problem:
    """Digits as images, of which ``images`` are shown to the student, or a graph by its name.

    A graph's nodes are all there without labels; its teachers see the public training nodes.
    """
    if name != "digits":
        data = nodes.load(name, normalize_features=False, sparse_features=True)
        classes = int(data.y.max()) + 1
        known, size = (classes + 1) // 2, data.num_features

        def gnns() -> list[nn.Module]:
            return [
                GCN(size, 32, 2, classes, dropout=0.5, cached=True),
                GAT(size, 64, 2, known, dropout=0.5, heads=8),
                GCN(size, 48, 2, classes - known, dropout=0.5, cached=True),
            ]

        labelled, test = (mask.nonzero()[:, 0] for mask in (data.train_mask, data.test_mask))
        rest = (~data.test_mask).nonzero()[:, 0]
        channels = (32, 64, 48)
        return Problem(
            data.x, data.y, data.edge_index, labelled, rest, test, known, gnns, "convs.0", channels
        )
    parts = [handwritten(name, part) for part in ("train", "test")]
    x, y = (torch.cat(both) for both in zip(*parts, strict=True))
    train, test = torch.arange(len(y)).split([len(part[1]) for part in parts])
    shown = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))[:images]

    def cnns() -> list[nn.Module]:
        return [classifier(10, 10), classifier(16, 5), classifier(12, 5)]

    return Problem(x, y, None, train, train[shown], test, 5, cnns, "8", (40, 64, 48))


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    teacher_train: dict[str, Any] | None = None,
    weights: tuple[float, ...] = (1.0, 10.0),
    hidden_channels: int = 128,
    centred: bool = False,
    batch_size: int = 64,
    k: int = 5,
    given: float = 0.2,
    draws: int = 5,
) -> dict[str, float]:
    """One seed; ``teacher_train`` changes ``train`` for the teachers, ``given`` is the share of
    samples whose links are known.
    """
    problem = load(**{**dataset, "seed": seed})
    seed_everything(seed)
    student, *teachers = problem.networks()
    taught = Fitter({**fit.train, **(teacher_train or {})}, seed, fit.fabric, watch=fit.watch)
    for number, teacher in enumerate(teachers):
        educate(taught, teacher, problem, number)
    metrics = together(teachers, problem, centred)
    # Weight 0 is distillation alone; all arms begin with the same student, so that they differ
    # by the weight only.
    for weight in (0.0, *weights):
        seed_everything(seed)
        model = CommonFeatureLearning(
            copy.deepcopy(student),
            teachers,
            [problem.layer] * 3,
            problem.channels,
            hidden_channels,
            spatial=problem.edge_index is None,
            weight=weight,
            centred=centred,
        )
        if weight == weights[0]:
            metrics |= suffixed(mechanism(model.eval(), problem), "_start")
        arm = f"cfl{weight:g}" if weight else "kd"
        fit(model.train(), TensorTask((problem.unlabelled,), problem.loss, batch_size), tag=arm)
        model.eval()
        logits = problem.call(model, problem.test)
        metrics[arm] = float(accuracy(logits, problem.y[problem.test]))
        if weight:
            metrics[f"gain_{arm}"] = metrics[arm] - metrics["kd"]
        else:
            qualities = mechanism(model, problem)
            metrics |= suffixed({name: qualities[name] for name in ("nearest", "hits")}, "_kd")
        if weight == weights[0]:
            qualities = mechanism(model, problem)
            metrics |= {"mmd_end": qualities.pop("mmd")} | qualities
            metrics["mmd_fall"] = metrics["mmd_start"] / metrics["mmd_end"]
            metrics |= alignment(model, problem, k, given, draws, seed)
    metrics["gap"] = metrics["teachers"] - metrics[f"cfl{weights[0]:g}"]
    return metrics


def suffixed(metrics: dict[str, float], suffix: str) -> dict[str, float]:
    """The same metrics under other names."""
    return {f"{name}{suffix}": value for name, value in metrics.items()}


def owned(problem: Problem, rows: Tensor, number: int) -> Tensor:
    """Which samples are of the classes of a teacher."""
    return (problem.y[rows] < problem.known) == (number == 0)


def educate(fit: Fitter, teacher: nn.Module, problem: Problem, number: int) -> None:
    """Trains a teacher on the labels of its classes."""
    rows = problem.labelled[owned(problem, problem.labelled, number)]

    def loss(model: nn.Module, samples: Tensor) -> Tensor:
        target = problem.y[samples] - number * problem.known
        return F.cross_entropy(problem.call(model, samples), target)

    fit(teacher, TensorTask((rows,), loss, 64 if problem.edge_index is None else len(rows)))
    teacher.eval()


@torch.no_grad()
def together(teachers: list[nn.Module], problem: Problem, centred: bool) -> dict[str, float]:
    """What the teachers' logits side by side are worth."""
    joint, y = problem.call(Teachers(teachers, centred), problem.test), problem.y[problem.test]
    first = joint.softmax(1)[:, : problem.known].sum(1)
    wrong = torch.where(y < problem.known, 1 - first, first)
    return {"teachers": float(accuracy(joint, y)), "off_mass": float(wrong.mean())}


def mechanism(model: CommonFeatureLearning, problem: Problem) -> dict[str, float]:
    """What the common space holds of the test samples."""
    inputs, rows = problem.inputs()
    seen, y = model.common(*inputs), problem.y[problem.test]
    ours, *theirs = (h[rows].flatten(1) for h in seen.common)
    discrepancy = sum(MultiKernelMMDLoss()(ours, h) for h in theirs)
    fits, right, partners = [], [], []
    itself = torch.eye(len(rows), dtype=torch.bool)
    for number, h in enumerate(theirs):
        given, back = seen.features[number + 1][rows], seen.decoded[number][rows]
        fits.append(1 - (back - given).square().sum() / (given - given.mean(0)).square().sum())
        unit = F.normalize(ours, dim=1), F.normalize(h, dim=1)
        near = unit[0] @ unit[1].t()
        partners.append(hits(unit[1], unit[0]))
        mine = owned(problem, problem.test, number)
        best = near.masked_fill(itself | ~mine, -2.0).argmax(1)
        right.append((y[best] == y)[mine])
    return {
        "mmd": float(discrepancy),
        "r2": float(torch.stack(fits).mean()),
        "nearest": float(torch.cat(right).float().mean()),
        "hits": sum(partners) / len(partners),
    }


@torch.no_grad()
def alignment(
    model: CommonFeatureLearning, problem: Problem, k: int, given: float, draws: int, seed: int
) -> dict[str, float]:
    """Hits@10 of teachers' samples among the student's, averaged over teachers and draws."""
    inputs, rows = problem.inputs()
    graph: HeteroData = CommonSpaceGraphAdapter(model, k)(*inputs)
    kinds, generator = graph.node_types, torch.Generator().manual_seed(seed)
    edges = [graph[kind, "near", kind].edge_index for kind in kinds]
    common = [F.normalize(graph[kind].x, dim=1) for kind in kinds]
    raw = [F.normalize(f.flatten(1), dim=1) for f in model.common(*inputs).features]
    plain, count = [knn_edges(f, k) for f in raw], len(raw[0])
    total: dict[str, float] = {}
    for _ in range(draws):
        order = rows[torch.randperm(len(rows), generator=generator)]
        known, rest = order.split([int(given * len(rows)), len(rows) - int(given * len(rows))])
        views = {
            "common": common,
            "relative": [relative(x, known) for x in common],
            "relative_raw": [relative(x, known) for x in raw],
            "graph": [arrivals(ends, known, count) for ends in edges],
            "graph_raw": [arrivals(ends, known, count) for ends in plain],
        }
        for name, (ours, *theirs) in views.items():
            right = sum(hits(h[rest], ours[rest]) for h in theirs) / len(theirs)
            total[f"links_{name}"] = total.get(f"links_{name}", 0.0) + right / draws
    rivals = (total[f"links_{name}"] for name in ("common", "relative", "relative_raw"))
    return total | {"graph_gain": total["links_graph"] - max(rivals)}


def relative(unit: Tensor, known: Tensor) -> Tensor:
    """Samples by their cosines with some of them, centred and of length one."""
    cosine = unit @ unit[known].t()
    return F.normalize(cosine - cosine.mean(1, keepdim=True), dim=1)


def arrivals(edge_index: Tensor, known: Tensor, count: int) -> Tensor:
    """Square roots of how much of each known sample arrives at every sample, of length one."""
    start = torch.eye(count)[:, known]
    return F.normalize(APPNP(10, 0.2)(start, edge_index).sqrt(), dim=1)


def hits(theirs: Tensor, ours: Tensor) -> float:
    """Share of rows whose own row is among the ten nearest of another matrix."""
    number = torch.arange(len(ours))
    return float(hits_at_k(theirs @ ours.t(), number, min(10, len(ours))).float().mean())
