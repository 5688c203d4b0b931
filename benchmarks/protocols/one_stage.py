"""One-stage training of an adversarial pair beside two stages: the same, sooner, as good.

On images a small DCGAN with group normalisation in both networks, on both sides; on a graph PyG's
ARGA, whose encoder is the generator of the embedding. Both begin with the same weights and take
the same number of steps: in two stages the generator runs twice and the discriminator thrice, with
fresh noise for each player; in one stage once and twice.

``speedup`` is the time of a two-stage step, as programs commonly have it, over that of a one-stage
step, the median over pairs of blocks of steps that take turns in one process. Common programs call
``backward()`` in the generator's step, which makes gradients of the discriminator that nobody
uses: ``speedup_careful`` is over a two-stage step that does not. ``speedup_shared`` is over a
careful one that keeps the fake samples for both players (1 + 3 runs), so it does not see fresh
noise either.
``error`` is the largest relative difference of any gradient to that of two stages, in float64.

Quality on images: ``frechet_…`` to the test images in the last features of a classifier, for
``one``, ``two``, and, to know the scale, ``real``, half of them from the other, and ``start``, the
untrained generator; ``frechet_ratio`` is one over two stages; ``entropy_…`` of the classes drawn.
On the graph: ``auc_…`` and ``ap_…`` of links held back.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam
from torch_geometric.nn import ARGA, GCNConv
from torch_geometric.transforms import RandomLinkSplit

from benchmarks.harness.fitting import Fitter
from benchmarks.problems import nodes as graphs_of_nodes
from benchmarks.problems.canvas import classifier
from benchmarks.problems.images import handwritten
from graphkit.distill import ImageGenerator
from graphkit.metrics import frechet_distance
from graphkit.train import OneStageStep, gan_loss, label_entropy, seed_everything
from graphkit.vision import TensorTask

MAIN = "speedup"
BLOCK = 10


@dataclass
class Game:
    """A pair, how it plays and how it is judged.

    Args:
        generator, discriminator (torch.nn.Module): The players.
        fake (callable): ``generator -> samples``, with fresh noise.
        real (callable): ``() -> samples``.
        extra (callable): ``(generator, samples) -> loss`` besides, or 0.
        judge (callable): ``generator -> {metric: value}``.
    """

    generator: nn.Module
    discriminator: nn.Module
    fake: Callable[[Any], Tensor]
    real: Callable[[], Tensor]
    extra: Callable[[Any, Tensor], Tensor | float]
    judge: Callable[[Any], dict[str, float]]


def load(name: str = "digits") -> str:
    """``"digits"``, images of 8 x 8, or a graph by its name."""
    return name


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    loss: str = "bce",
    steps: int = 1500,
    batch_size: int = 64,
    lr: float = 1e-3,
    discriminator_lr: float = 1e-3,
    hidden_channels: int = 32,
) -> dict[str, float]:
    """One seed; the recipe's ``train`` is that of the classifier that judges images."""
    name = load(**dataset)
    seed_everything(seed)
    if name == "digits":
        game = images(fit, batch_size, hidden_channels)
    else:
        game = graph(name, hidden_channels, seed)
    rates = lr, discriminator_lr
    metrics = {f"{key}_start": v for key, v in game.judge(game.generator).items()}
    metrics["error"] = error(game, loss)
    arms = {key: Arm(game, loss, rates, step) for key, step in STEPS.items()}
    times: dict[str, list[float]] = {key: [] for key in arms}
    for block in range(steps // BLOCK):
        for key, arm in arms.items():
            # The same noise and the same real samples for all arms, block by block.
            torch.manual_seed(seed * 1_000_003 + block)
            started = time.perf_counter()
            for _ in range(BLOCK):
                arm.step()
            times[key].append(time.perf_counter() - started)
    fit.parameters = sum(
        p.numel() for m in (game.generator, game.discriminator) for p in m.parameters()
    )
    for key in ("one", "two"):
        metrics |= {f"{n}_{key}": v for n, v in game.judge(arms[key].generator).items()}
    # The distance of two halves of the real images is the floor, and the same for all models.
    if "frechet_one" in metrics:
        metrics["frechet_ratio"] = metrics["frechet_one"] / metrics["frechet_two"]
        metrics["frechet_real"] = metrics.pop("real_start")
        del metrics["real_one"], metrics["real_two"]
    return metrics | {
        "speedup": faster(times["two"], times["one"]),
        "speedup_careful": faster(times["careful"], times["one"]),
        "speedup_shared": faster(times["shared"], times["one"]),
    }


def faster(slow: list[float], fast: list[float]) -> float:
    """The median ratio of blocks that stood side by side."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


class Arm:
    """One way of training a game.

    Args:
        game (Game): Its players are copied.
        loss (str): The loss.
        rates (tuple of float): Learning rates.
        step (callable): What a step does to an arm.
    """

    def __init__(
        self,
        game: Game,
        loss: str,
        rates: tuple[float, float],
        step: Callable[[Arm], None],
    ) -> None:
        self.game, self.loss, self.how = game, gan_loss(loss), step
        self.generator, self.judge = copy.deepcopy((game.generator, game.discriminator))
        self.players = [
            Adam(net.parameters(), rate, (0.5, 0.999))
            for net, rate in zip((self.generator, self.judge), rates, strict=True)
        ]
        self.one_stage = OneStageStep(self.judge, loss)

    def step(self) -> None:
        """One step of both players."""
        self.how(self)


def in_one_stage(arm: Arm) -> None:
    """Generator once, discriminator twice."""
    ours, theirs = arm.players
    fake = arm.game.fake(arm.generator)
    ours.zero_grad()
    theirs.zero_grad()
    losses = arm.one_stage(arm.game.real(), fake)
    (losses.generator + arm.game.extra(arm.generator, fake)).backward()
    ours.step()
    theirs.step()


def in_two_stages(arm: Arm, careful: bool = False, shared: bool = False) -> None:
    """Generator twice, or once if its samples are shared, and discriminator thrice."""
    ours, theirs = arm.players
    if shared:
        fake = arm.game.fake(arm.generator)
        first = fake.detach()
    else:
        with torch.no_grad():
            first = arm.game.fake(arm.generator)
    theirs.zero_grad()
    scores = arm.judge(arm.game.real())[:, 0], arm.judge(first)[:, 0]
    arm.loss.discriminator(*scores).backward()
    theirs.step()
    if not shared:
        fake = arm.game.fake(arm.generator)
    ours.zero_grad()
    loss = arm.loss.generator(arm.judge(fake)[:, 0]).mean() + arm.game.extra(arm.generator, fake)
    # Without inputs, the discriminator's gradients are made too, to be cleared unused.
    loss.backward(inputs=list(arm.generator.parameters()) if careful else None)
    ours.step()


STEPS: dict[str, Callable[[Arm], None]] = {
    "one": in_one_stage,
    "two": in_two_stages,
    "careful": lambda arm: in_two_stages(arm, careful=True),
    "shared": lambda arm: in_two_stages(arm, careful=True, shared=True),
}


def error(game: Game, loss: str) -> float:
    """The largest relative difference of gradients to two separate passes, in float64."""
    generator, judge = (copy.deepcopy(m).double() for m in (game.generator, game.discriminator))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        fake, real = game.fake(game.generator).double(), game.real().double()
    maker = nn.Linear(fake[0].numel(), fake[0].numel()).double()
    del generator

    def make() -> Tensor:
        return maker(fake.flatten(1)).view_as(fake)

    terms = gan_loss(loss)
    value = terms.discriminator(judge(real)[:, 0], judge(make().detach())[:, 0])
    theirs, ours = list(judge.parameters()), list(maker.parameters())
    expected = [*torch.autograd.grad(value, theirs)]
    expected += torch.autograd.grad(terms.generator(judge(make())[:, 0]).mean(), ours)
    OneStageStep(judge, loss)(real, make()).generator.backward()
    pairs = zip([p.grad for p in (*theirs, *ours)], expected, strict=True)
    return max(
        float((one - right).abs().max() / right.abs().max().clamp(min=1e-300))
        for one, right in pairs
        if one is not None
    )


def images(fit: Fitter, batch_size: int, width: int) -> Game:
    """A small DCGAN on digits in [-1, 1]."""
    x, y = handwritten("digits", "train")
    test, _ = handwritten("digits", "test")
    expert = classifier()
    task = TensorTask((2 * x - 1, y), lambda m, x, y: F.cross_entropy(m(x), y), 64)
    fit(expert, task, tag="expert")
    expert.eval()
    generator = ImageGenerator(
        32, size=8, hidden_channels=width, kind="dcgan", norm="group", standardised=False
    )
    # No batch norm: the one-stage step needs a loss per sample, which must not see the others.
    discriminator = nn.Sequential(
        nn.Conv2d(1, width, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 3, 1, 1),
        nn.GroupNorm(8, 2 * width),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2 * width, 4 * width, 4, 2, 1),
        nn.GroupNorm(8, 4 * width),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(16 * width, 1),
    )
    real = 2 * x - 1

    @torch.no_grad()
    def judge(model: Any) -> dict[str, float]:
        # The same noise for all models, without a trace in the arms' own draws.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            made = model(torch.randn(len(test), 32))
        features = [expert[:-1](part) for part in (made, 2 * test - 1)]
        half = features[1].chunk(2)
        return {
            "frechet": float(frechet_distance(*features)),
            "real": float(frechet_distance(half[0], half[1])),
            "entropy": float(label_entropy(expert(made))),
        }

    return Game(
        generator,
        discriminator,
        lambda model: model(torch.randn(batch_size, 32)),
        lambda: real[torch.randint(len(real), (batch_size,))],
        lambda model, fake: 0.0,
        judge,
    )


class Encoder(nn.Module):
    """Two convolutions, as in PyG's example."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.first, self.second = GCNConv(in_channels, 2 * width), GCNConv(2 * width, width)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Embeddings of nodes."""
        return self.second(self.first(x, edge_index).relu(), edge_index)


def graph(name: str, width: int, seed: int) -> Game:
    """ARGA on the links of a graph, a tenth of them held back."""
    data = graphs_of_nodes.load(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        split = RandomLinkSplit(0.05, 0.1, is_undirected=True, split_labels=True)
        known, _, test = split(data)
    judge = nn.Sequential(
        nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)
    )
    model = ARGA(Encoder(data.num_features, width), judge)

    @torch.no_grad()
    def judged(encoder: Any) -> dict[str, float]:
        z = encoder(known.x, known.edge_index)
        figures = model.test(z, test.pos_edge_label_index, test.neg_edge_label_index)
        return dict(zip(("auc", "ap"), map(float, figures), strict=True))

    return Game(
        model.encoder,
        judge,
        lambda encoder: encoder(known.x, known.edge_index),
        lambda: torch.randn(data.num_nodes, width),
        lambda encoder, z: model.recon_loss(z, known.pos_edge_label_index),
        judged,
    )
