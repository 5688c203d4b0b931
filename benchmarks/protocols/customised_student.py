"""One student from sources of which each is good at some classes, by the surest source per sample.

The first source learns all images of one half of the classes but only ``few`` of each other class,
the second the converse. The student sees images without labels that no source has seen. All arms
begin with the same weights and take as many steps; they differ by whom they learn from:
``test_accuracy``, the surest source per sample, is the method; ``student_logits`` and
``student_probabilities`` the sources' averages; ``student_first`` and ``student_second`` one
source alone. ``first``, ``second``, ``pick``, ``average_logits`` and ``average_probabilities`` are
the sources themselves, without a student. ``gain_best`` is over the better source,
``gain_logits`` and ``gain_probabilities`` over the students of averages.

The second step: a component for another task, whether the digit is even, from two sources of the
same kind, and one target of both components: ``component_even``, ``target`` and ``target_even``.

The downstream result: which source is right on a sample, for some samples known, as link
prediction on TrustGraphAdapter's graph: ``auc_graph``, over the edges of all other samples, beside
``auc_entropy``, which has the entropy alone, and ``auc_flat``, the same model without the graph's
messages.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.nn import SAGEConv

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.canvas import classifier
from benchmarks.problems.images import handwritten, one_sided
from graphkit.adapters import TrustGraphAdapter
from graphkit.distill import CustomizedStudent
from graphkit.metrics import accuracy
from graphkit.modes import evaluating
from graphkit.train import TensorTask, seed_everything

MAIN = "test_accuracy"
LAYERS, WIDTHS = ("2", "5", "8"), (1, 2, 4)


class Averaged(nn.Module):
    """Sources as one: the mean of their logits, or the logarithm of their mean probability."""

    def __init__(self, sources: list[nn.Module], probabilities: bool) -> None:
        super().__init__()
        self.sources, self.probabilities = nn.ModuleList(sources), probabilities

    def forward(self, x: Tensor) -> Tensor:
        logits = torch.stack([source(x) for source in self.sources])
        if not self.probabilities:
            return logits.mean(0)
        mixed = logits.log_softmax(-1).logsumexp(0)
        # Without its mean: students learn logits by their squared error.
        return mixed - mixed.mean(1, keepdim=True)


def load(name: str = "digits") -> list[tuple[Tensor, Tensor]]:
    """Images and classes to train on, and those to judge by."""
    return [handwritten(name, part) for part in ("train", "test")]


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    few: int = 2,
    width: int = 12,
    student: int = 8,
    batch_size: int = 64,
    source_train: dict[str, Any] | None = None,
    weight: float = 1.0,
    known: float = 0.2,
) -> dict[str, float]:
    """One seed; ``width`` and ``student`` are widths of networks, ``source_train`` changes
    ``train`` for the sources, ``known`` is the share of samples whose labels the link prediction
    has.
    """
    (x, y), (test, label) = load(**dataset)
    seed_everything(seed)
    # What the sources have seen, they are too sure of: the student gets other images.
    first, second = torch.randperm(len(y)).tensor_split(2)
    taught = Fitter({**fit.train, **(source_train or {})}, seed, fit.fabric, watch=fit.watch)
    sources = [
        educate(taught, classifier(width), x, y, one_sided(y, first, few, side)) for side in (0, 1)
    ]
    best = max(judge(source, test, label) for source in sources)
    arms: dict[str, list[nn.Module]] = {
        "test_accuracy": sources,
        "student_logits": [Averaged(sources, probabilities=False)],
        "student_probabilities": [Averaged(sources, probabilities=True)],
        "student_first": sources[:1],
        "student_second": sources[1:],
    }
    start, metrics, models = classifier(student), {}, {}
    # Same first weights and same order of batches: arms differ by their teachers alone.
    for arm, teachers in arms.items():
        model = component(copy.deepcopy(start), teachers, "class", 10, student, width, weight)
        seed_everything(seed)
        fit(model, TensorTask((x[second],), lambda m, rows: m.loss(rows), batch_size), tag=arm)
        metrics[arm], models[arm] = judge(model.student, test, label), model
    for name in ("best", "logits", "probabilities"):
        rival = best if name == "best" else metrics[f"student_{name}"]
        metrics[f"gain_{name}"] = metrics["test_accuracy"] - rival
    chosen = models["test_accuracy"]
    metrics |= without_student(sources, chosen, test, label)
    metrics |= both_tasks(
        fit, taught, chosen, (x, y, first, second), (test, label), few, width, student
    )
    graph = TrustGraphAdapter(chosen)(test, y=label)
    return metrics | links(graph, known, seed)


def educate(fit: Fitter, model: nn.Module, x: Tensor, y: Tensor, rows: Tensor) -> nn.Module:
    """A classifier of some labelled images."""
    fit(model, TensorTask((x[rows], y[rows]), lambda m, a, b: F.cross_entropy(m(a), b)))
    return model.eval()


def component(
    network: nn.Module,
    sources: list[nn.Module],
    task: str,
    classes: int,
    student: int,
    width: int,
    weight: float,
) -> CustomizedStudent:
    """The network of one task; features are aligned where sources are networks like it."""
    plain = not isinstance(sources[0], Averaged)
    layers = [[layer] * (len(sources) + 1) for layer in LAYERS] if plain else []
    channels = [[wide * student] + [wide * width] * len(sources) for wide in WIDTHS]
    return CustomizedStudent(
        network,
        sources,
        [{task: range(classes)}] * len(sources),
        [task],
        layers,
        channels if plain else [],
        weight=weight,
    )


@torch.no_grad()
def judge(model: nn.Module, x: Tensor, y: Tensor, columns: slice = slice(None)) -> float:
    """Accuracy of some columns of the logits."""
    with evaluating(model):
        return float(accuracy(model(x)[:, columns], y))


def without_student(
    sources: list[nn.Module], model: CustomizedStudent, x: Tensor, y: Tensor
) -> dict[str, float]:
    """What the sources know alone, and together by every rule."""
    found = {
        "first": judge(sources[0], x, y),
        "second": judge(sources[1], x, y),
        "average_logits": judge(Averaged(sources, probabilities=False), x, y),
        "average_probabilities": judge(Averaged(sources, probabilities=True), x, y),
    }
    return found | {"pick": float(accuracy(model.trust("class", x).picked, y))}


def both_tasks(
    fit: Fitter,
    taught: Fitter,
    digits: CustomizedStudent,
    images: tuple[Tensor, Tensor, Tensor, Tensor],
    tests: tuple[Tensor, Tensor],
    few: int,
    width: int,
    student: int,
) -> dict[str, float]:
    """A component for another task, and the target of both."""
    (x, y, first, second), (test, label) = images, tests
    sources = [
        educate(taught, classifier(width, 2), x, y % 2, one_sided(y, first, few, side))
        for side in (0, 1)
    ]
    even = component(classifier(student, 2), sources, "even", 2, student, width, 1.0)
    task = TensorTask((x[second],), lambda m, rows: m.loss(rows))
    fit(even, task, tag="even")
    target = CustomizedStudent.of_components(
        classifier(student, 12),
        {"class": digits, "even": even},
        layers=[[layer] * 3 for layer in LAYERS],
        channels=[[wide * student] * 3 for wide in WIDTHS],
    )
    fit(target, task, tag="target")
    return {
        "component_even": judge(even.student, test, label % 2),
        "target": judge(target.student, test, label, slice(10)),
        "target_even": judge(target.student, test, label % 2, slice(10, 12)),
    }


class Links(nn.Module):
    """Whether a source is right on a sample: from both ends and the edge."""

    def __init__(self, graph: HeteroData, messages: bool, width: int = 16) -> None:
        super().__init__()
        sizes = [graph[kind].x.size(1) for kind in ("sample", "source")]
        self.messages = messages
        self.sample, self.source = nn.Linear(sizes[0], width), SAGEConv((width, sizes[1]), width)
        self.back = SAGEConv((width, width), width)
        self.last = nn.Sequential(nn.Linear(2 * width + 3, width), nn.ReLU(), nn.Linear(width, 1))
        self.names = nn.Embedding(graph["source"].num_nodes, width)

    def forward(self, graph: HeteroData) -> Tensor:
        store = graph["sample", "trusts", "source"]
        sample, source = self.sample(graph["sample"].x).relu(), self.names.weight
        if self.messages:
            # Only the edges that were chosen carry messages: who trusts whom is the graph.
            ends = store.edge_index[:, store.edge_attr[:, 2] > 0]
            source = source + self.source((sample, graph["source"].x), ends).relu()
            sample = sample + self.back((source, sample), ends.flip(0)).relu()
        near = [sample[store.edge_index[0]], source[store.edge_index[1]], store.edge_attr]
        return self.last(torch.cat(near, 1))[:, 0]


def links(graph: HeteroData, known: float, seed: int, steps: int = 200) -> dict[str, float]:
    """Areas under the curve of ``correct`` on samples whose labels were not given."""
    store = graph["sample", "trusts", "source"]
    generator = torch.Generator().manual_seed(seed)
    given = torch.rand(graph["sample"].num_nodes, generator=generator) < known
    seen, right = given[store.edge_index[0]], store.correct
    scores = {"entropy": -store.edge_attr[:, 0]}
    for name, messages in (("graph", True), ("flat", False)):
        seed_everything(seed)
        model = Links(graph, messages)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=1e-3)
        for _ in range(steps):
            optimizer.zero_grad()
            loss = F.binary_cross_entropy_with_logits(model(graph)[seen], right[seen].float())
            loss.backward()
            optimizer.step()
        scores[name] = model(graph).detach()
    return {
        f"auc_{name}": float(roc_auc_score(right[~seen], score[~seen]))
        for name, score in scores.items()
    }
