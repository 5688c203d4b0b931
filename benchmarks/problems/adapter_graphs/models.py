"""Questions of graphs whose nodes are models, their channels, or samples that several saw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.problems.adapter_graphs.question import NUMBER, Question, ask, fitted, flat, plain
from benchmarks.problems.adapter_graphs.samples import known_classes, new_classes
from benchmarks.problems.canvas import classifier
from benchmarks.problems.images import handwritten
from graphkit import adapters
from graphkit.compress import (
    ChannelDependency,
    EvolutionaryPruning,
    NetGraft,
    QuantizationNetwork,
)
from graphkit.distill import (
    DFAD,
    CommonFeatureLearning,
    CustomizedStudent,
    Distillation,
    ImageGenerator,
    InheritanceExploration,
)
from graphkit.train import TensorTask, Trainer

__all__ = [
    "channels",
    "class_transfer",
    "common_space",
    "disagreement",
    "kernels",
    "lattice",
    "lineage",
    "signed",
    "trust",
    "two_samples",
]


def networks(seed: int, count: int) -> list[nn.Module]:
    """Networks, each of three hundred images of its own."""
    x, y = handwritten("digits", "train")
    nets = []
    for number in range(count):
        rows = torch.randperm(len(y))[:300]
        nets.append(fitted(classifier(8), x[rows], y[rows], 100 * seed + number, 80))
    return nets


@torch.no_grad()
def accuracy_of(net: Callable[[Tensor], Tensor]) -> float:
    """Share of test digits that a network names."""
    x, y = handwritten("digits", "test")
    return float((net(x).argmax(1) == y).float().mean())


def channels(seed: int, pairs: int = 12) -> Question:
    """Channels of twelve students, half of which explored: which half a channel is of."""
    from benchmarks.problems.inheritance import attach, classify, inner

    graphs = []
    for number, master in enumerate(networks(seed, pairs)):
        x, y = (part[:300] for part in handwritten("digits", "train"))
        terms = InheritanceExploration(32, 32, 16)
        quick: dict[str, Any] = {"monitor": None, "seed": 100 * seed + number, "progress": False}
        terms.learn_factors(inner(master, "8", x), trainer=Trainer(10, **quick))
        model = attach("ie", classifier(8), master, terms, "8", 10.0)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
        task = TensorTask((x, y), classify, 64)
        Trainer(15, callbacks=[Distillation(model)], **quick).fit(model, optimizer, task)
        judge: InheritanceExploration = model.losses[0]  # type: ignore[assignment]
        both = (model.student, master)
        test, label = handwritten("digits", "test")
        graph = adapters.ChannelGraphAdapter(*both, ("8", "8"), judge.explore, k=5)(test, y=label)
        graphs.append(flat(graph, {"student_channel": graph["student_channel"].y}))
    return ask(graphs, "accuracy", seed, train=0.5)


def class_transfer(seed: int) -> Question:
    """Twenty actions at three levels: what varies most of an action's localiser."""
    from benchmarks.problems.action_frames import moments
    from benchmarks.problems.localisation import MOMENT, classifiers, supervise, untrimmed
    from graphkit.vision import AherLoss, AherNet

    generator = torch.Generator().manual_seed(seed)
    every = range(20)
    seen = untrimmed("THUMOS14", "val", 200, every, generator=generator)
    x, kind = moments("THUMOS14", "val", 300, MOMENT, 0.15, generator, every)
    model = AherNet(x.size(1), 1, 20, transfer=False, channels=32, num_levels=3)
    supervise(model, AherLoss(positive=0.5), seen, 60, 16, 0.001, generator)
    _, located, _ = model.class_weights()
    classified = classifiers(model, x, kind, 20)
    graph = adapters.ClassTransferGraphAdapter()(
        classified, located[:, 1:], torch.ones(20, dtype=torch.bool)
    )
    head = graph["head"]
    rows = head.y - head.y.mean(0)
    first = rows @ torch.linalg.svd(rows, full_matrices=False).Vh[0]
    graph = graph.node_type_subgraph(["head"])
    return ask(flat(graph, {"head": first.detach()}), NUMBER, seed, train=0.5)


def common_space(seed: int) -> Question:
    """Digits to a student and two teachers in one space: the class, a few images known."""
    x, y = handwritten("digits", "train")
    low = y < 5
    teachers = [fitted(classifier(8, 5), x[half], y[half] % 5, seed) for half in (low, ~low)]
    model = CommonFeatureLearning(classifier(8), teachers, ["8"] * 3, [32] * 3, 32)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.003)
    for rows in torch.randperm(len(y)).repeat(6).split(32):
        optimizer.zero_grad()
        model.loss(x[rows]).backward()
        optimizer.step()
    test, label = (part[:500] for part in handwritten("digits", "test"))
    with torch.no_grad():
        graph = adapters.CommonSpaceGraphAdapter(model.eval())(test, y=label)
    return ask(flat(graph, {"student": label}), "accuracy", seed, train=0.1, val=0.1)


def trust(seed: int) -> Question:
    """Digits and two networks, each of half of the classes: a digit's class, a few images known.

    A digit is linked to the network that it trusts, not to the other.
    """
    from benchmarks.problems.images import one_sided

    x, y = handwritten("digits", "train")
    rows, sources = torch.randperm(len(y)), []
    for side in (0, 1):
        mine = one_sided(y, rows, 2, side)
        sources.append(fitted(classifier(8), x[mine], y[mine], seed))
    model = CustomizedStudent(classifier(8), sources, [{"class": range(10)}] * 2)
    test, label = handwritten("digits", "test")
    graph = adapters.TrustGraphAdapter(model)(test, y=label)
    links = graph["sample", "trusts", "source"]
    links.edge_index = links.edge_index[:, links.edge_attr[:, 2] == 1]
    return ask(flat(graph, {"sample": label}), "accuracy", seed, train=0.1, val=0.1)


def disagreement(seed: int) -> Question:
    """Digits to a teacher and a weaker student, of classes that are new to both: the class."""
    x, y = new_classes(seed)
    student, teacher = known_classes(seed, 2), known_classes(seed, 8)
    model = DFAD(student, teacher, ImageGenerator(4, size=8, hidden_channels=4))
    with torch.no_grad():
        graph = adapters.DisagreementGraphAdapter(model, ("10", "10"))(x)
    both = torch.cat([graph.x, graph.x_student, graph.gap.unsqueeze(1)], 1)
    return ask(plain(graph, y, both), "accuracy", seed, train=0.1, val=0.1)


def lattice(seed: int) -> Question:
    """Hybrids of a teacher and a student of six blocks: how far a hybrid's answers move."""
    from benchmarks.problems.grafting import load

    problem = load(layers=6, seed=seed)
    rows = torch.randperm(len(problem.y))[:500]
    x, y = problem.x[rows], problem.y[rows]
    master = problem.network(16, 0.0)
    fitted(master, x, y, seed)
    student = problem.network(4, 0.0)
    fitted(student, x, y, seed)
    net = NetGraft(master, student, x[:32])
    graph = adapters.GraftLatticeAdapter(net.eval())(x[:100], labels=y[:100])
    return ask(plain(graph, graph.y.detach()), NUMBER, seed)


def lineage(seed: int) -> Question:
    """Pruned networks of an evolutionary search, by their bits: how fit each was."""
    (net,) = networks(seed, 1)
    x, y = handwritten("digits", "train")

    @torch.no_grad()
    def score(small: nn.Module) -> float:
        return float((small(x[:300]).argmax(1) == y[:300]).float().mean())

    search = EvolutionaryPruning(
        net, (x[:2],), score, population=24, generations=12, seed=seed, progress=False
    )
    search.run()
    assert search.lineage is not None
    graph = adapters.LineageGraphAdapter()(search.lineage)
    out = plain(graph, graph.y)
    # The same bits have the same fitness: all copies are on one side.
    out.unit = graph.x.unique(dim=0, return_inverse=True)[1]
    return ask(out, NUMBER, seed)


def kernels(seed: int, count: int = 8) -> Question:
    """Channels of eight networks: how much accuracy is lost without each."""
    graphs = []
    for net in networks(seed, count):
        x, _ = handwritten("digits", "test")
        dependency = ChannelDependency(net, (x[:2],))
        graph = adapters.PruningGraphAdapter(dependency)(x[:200])
        whole, lost = accuracy_of(net), []
        for group in range(dependency.num_groups):
            mask = torch.arange(dependency.num_groups) != group
            lost.append(whole - accuracy_of(dependency.cut(mask).eval()))
        y = torch.where(graph.group >= 0, torch.tensor(lost)[graph.group], torch.nan)
        graphs.append(plain(graph, y))
    return ask(graphs, NUMBER, seed, train=0.5)


def signed(seed: int, count: int = 8) -> Question:
    """Output channels of eight ternary networks: how much accuracy is lost without each."""
    graphs = []
    for net in networks(seed, count):
        model = QuantizationNetwork(net, layers=["0", "3", "6"]).eval()
        x, _ = handwritten("digits", "test")
        graph = adapters.SignedGraphAdapter(model)(x[:200])
        whole, y, start = accuracy_of(model), torch.full((graph.num_nodes,), torch.nan), 0
        for name in ("0", "3", "6"):
            layer: Any = model.model.get_submodule(name)
            start += layer.in_channels
            for channel in range(layer.out_channels):
                with_out = layer.register_forward_hook(without(channel))
                y[start + channel] = whole - accuracy_of(model)
                with_out.remove()
            start += layer.out_channels
        graphs.append(plain(graph, y))
    return ask(graphs, NUMBER, seed, train=0.5)


def without(channel: int) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    """A hook that silences a channel."""

    def silence(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> Tensor:
        keep = torch.ones(out.size(1), 1, 1)
        keep[channel] = 0
        return out * keep

    return silence


def two_samples(seed: int) -> Question:
    """Digits and images drawn by their principal components: which of them are real."""
    x, _ = new_classes(seed)
    pixels = x.flatten(1)
    mean = pixels.mean(0)
    _, scale, axes = torch.pca_lowrank(pixels, 20, center=True)
    draws = torch.randn(len(x), 20) * scale / len(x) ** 0.5
    fake = (mean + draws @ axes.t()).view_as(x).clamp(0, 1)
    graph = adapters.TwoSampleGraphAdapter(known_classes(seed), "10")(x, fake)
    return ask(plain(graph, graph.y), "auc", seed, train=0.1, val=0.1)
