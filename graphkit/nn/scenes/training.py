"""Training of scene-graph enrichment: objects knocked out, and adversaries."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.catalog import no_method
from graphkit.data.scene_batch import KnockOut, SceneBatch
from graphkit.lopsided import watch_terms
from graphkit.modes import call_fixed
from graphkit.nn.models.scene_graph_enricher import Proposal
from graphkit.nn.straight_through import straight_through
from graphkit.train.callback import Callback
from graphkit.train.gan_losses import GANLoss, gan_loss, mean
from graphkit.train.one_stage import OneStageStep
from graphkit.train.task import ShardedTask

if TYPE_CHECKING:
    from graphkit.train.run import Run


@no_method("knocks objects out of scene graphs for a Trainer, no method of its own")
class EnrichmentTask(ShardedTask):
    r"""Finding objects that were knocked out of real scene graphs, with their relations.

    .. math::
        \mathcal{L} = -\log p(o^* \mid s) - \lambda \, \overline{\log p(r^*_{i} \mid s, o^*)}

    In every epoch each graph loses one object at random, or, with probability
    :obj:`stop_share`, none: then the right answer is to stop.  The relations are those of the
    object taken, given its category; pairs without one count :obj:`none_weight`.  Where a pair
    has several predicates they share the target.

    Args:
        train, val (SceneBatch): The graphs of each part.
        batch_size (int, optional): Graphs per step, over all processes. (default: :obj:`64`)
        relation_weight (float, optional): The weight :math:`\lambda`. (default: :obj:`1.0`)
        none_weight (float, optional): Weight of pairs without relation. (default: :obj:`0.2`)
        stop_share (float, optional): Share of graphs that stay whole. (default: :obj:`0.1`)
        drop_orphans (bool, optional): See :meth:`~graphkit.datasets.SceneBatch.knock_out`.
            (default: :obj:`False`)

    Raises:
        ValueError: If a part is empty or an option out of range.

    Example:
        >>> import torch
        >>> from graphkit.datasets import SceneBatch, SyntheticScenes
        >>> from graphkit.nn import EnrichmentTask, SceneGraphEnricher
        >>> from graphkit.train import Trainer
        >>> parts = [SceneBatch.from_data(list(p)) for p in SyntheticScenes(100).splits()]
        >>> model = SceneGraphEnricher(28, 13, hidden_channels=16, triple_channels=32)
        >>> optimizer = torch.optim.Adam(model.parameters())
        >>> task = EnrichmentTask(parts[0], parts[1])
        >>> Trainer(epochs=1, progress=False).fit(model, optimizer, task).epochs
        1
    """

    def __init__(
        self,
        train: SceneBatch,
        val: SceneBatch,
        batch_size: int = 64,
        relation_weight: float = 1.0,
        none_weight: float = 0.2,
        stop_share: float = 0.1,
        drop_orphans: bool = False,
    ) -> None:
        for name, part in (("train", train), ("val", val)):
            if part.num_nodes == 0:
                raise ValueError(f"'{name}' holds no object")
        if batch_size < 1 or not 0 <= stop_share < 1 or min(relation_weight, none_weight) < 0:
            raise ValueError(
                "'batch_size' must be positive, 'stop_share' in [0, 1), and weights not negative, "
                f"got {batch_size}, {stop_share}, {relation_weight} and {none_weight}"
            )
        self.train, self.batch_size = train, batch_size
        self.relation_weight, self.none_weight = relation_weight, none_weight
        self.stop_share, self.drop_orphans = stop_share, drop_orphans
        self.judged = val.leave_one_out(drop_orphans).split()
        self.last: tuple[KnockOut, Proposal] | None = None

    def batches(self, seed: int) -> Iterator[KnockOut]:
        generator = torch.Generator().manual_seed(seed)
        sizes = self.train.node_ptr.diff().cpu()
        order = torch.randperm(sizes.numel(), generator=generator)
        order = order[sizes[order] > 0]
        place = (torch.rand(sizes.numel(), generator=generator) * sizes).long()
        stay = torch.rand(sizes.numel(), generator=generator) < self.stop_share
        for start in range(0, order.numel(), self.batch_size):
            # An empty share is a batch of no graph, which the model takes as well.
            mine = order[start : start + self.batch_size][self.rank :: self.world_size]
            part = self.train.select(mine.to(self.train.x.device))
            node = part.node_ptr[:-1] + place[mine].to(part.x.device)
            node = node.masked_fill(stay[mine].to(part.x.device), -1)
            yield part.knock_out(node, self.drop_orphans)

    def loss(self, model: nn.Module, batch: KnockOut) -> Tensor:
        proposal = model(batch.rest, batch.category)
        self.last = batch, proposal
        if batch.category.numel() == 0:
            return proposal.new.sum() * 0.0
        stop = proposal.object_logits.size(1) - 1
        target = batch.category.masked_fill(batch.category < 0, stop)
        loss = F.cross_entropy(proposal.object_logits, target)
        relations = relation_loss(proposal.relation_logits, batch, self.none_weight)
        terms = {"objects": (1.0, loss), "relation_weight": (self.relation_weight, relations)}
        watch_terms(self, terms, model.parameters())
        return loss + self.relation_weight * relations

    def size(self, batch: KnockOut) -> int:
        return batch.category.numel()

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """The losses and the recall on every object of the validation graphs."""
        sums = torch.zeros(3, dtype=torch.double)
        for part in self.judged:
            proposal = model(part.rest, part.category)
            logits, count = proposal.object_logits[:, :-1], part.category.numel()
            best = logits.topk(min(5, logits.size(1))).indices
            totals = (
                F.cross_entropy(logits, part.category) * count,
                relation_loss(proposal.relation_logits, part, self.none_weight) * count,
                (best == part.category[:, None]).any(1).sum(),
            )
            sums += torch.tensor([float(value) for value in totals])
        total = sum(part.category.numel() for part in self.judged)
        objects, relations, recall = (sums / total).tolist()
        return {
            "val_loss": objects + self.relation_weight * relations,
            "val_object_loss": objects,
            "val_relation_loss": relations,
            "val_recall@5": recall,
        }

    def to(self, device: torch.device) -> EnrichmentTask:
        self.train = self.train.to(device)
        self.judged = [part.to(device) for part in self.judged]
        return self


def relation_loss(logits: Tensor, batch: KnockOut, none_weight: float) -> Tensor:
    """Mean negative log-likelihood of the relations, pairs without one weighed down."""
    log = logits.log_softmax(-1)
    old, direction, predicate = batch.links
    several = torch.zeros(log.shape[:2], dtype=log.dtype, device=log.device)
    several.index_put_((old, direction), log.new_ones(()), accumulate=True)
    absent = (several == 0) & (batch.category >= 0)[batch.rest.batch][:, None]
    linked = (log[old, direction, predicate] / several[old, direction]).sum()
    total = (several > 0).sum() + none_weight * absent.sum()
    return -(linked + none_weight * log[..., -1][absent].sum()) / total.clamp(min=1)


@no_method("attaches the discriminators of scene graphs to a Trainer")
class SceneAdversary(Callback):
    r"""Trains discriminators against a :class:`~graphkit.nn.SceneGraphEnricher`, as a callback
    of :class:`graphkit.train.Trainer` on an :class:`EnrichmentTask`.

    .. math::
        \mathcal{L}_G = \lambda \sum_D -\log \sigma(D(\tilde{s})), \qquad
        \mathcal{L}_D = -\log \sigma(D(s)) - \log(1 - \sigma(D(\tilde{s})))

    with the graphs :math:`s` before an object was taken, and :math:`\tilde{s}` the rest with the
    enricher's object in its place.  Of the discriminator of triples only those of the object in
    question count, real or generated.  Each discriminator takes one step of Adam per step of the
    enricher.

    In one stage (:class:`~graphkit.train.OneStageStep`) a discriminator judges each batch twice
    in place of three times, the generated graphs once for both players.  Gradients are those of
    the two losses apart, and both players then move at once.  Triples of one scene see each other,
    so the discriminator of triples needs a symmetric loss for that.

    Args:
        local (torch.nn.Module, optional): Discriminator of triples.
        whole (torch.nn.Module, optional): Discriminator of graphs.
        weight (float, optional): The weight :math:`\lambda`. (default: :obj:`0.1`)
        lr (float, optional): Learning rate of the discriminators. (default: :obj:`1e-3`)
        temperature (float, optional): Temperature of the samples. (default: :obj:`1.0`)
        loss (str or GANLoss, optional): As in :func:`~graphkit.train.gan_loss`; the formula above
            is ``"bce"``. (default: ``"bce"``)
        one_stage (bool, optional): Whether both players learn from one pass.
            (default: :obj:`False`)

    Raises:
        ValueError: If there is no discriminator, several processes train, or the loss does not
            allow one stage.

    Example:
        >>> from graphkit.nn import LocalTripleDiscriminator, SceneAdversary
        >>> adversary = SceneAdversary(local=LocalTripleDiscriminator(28, 13))
    """

    def __init__(
        self,
        local: nn.Module | None = None,
        whole: nn.Module | None = None,
        weight: float = 0.1,
        lr: float = 1e-3,
        temperature: float = 1.0,
        loss: str | GANLoss = "bce",
        one_stage: bool = False,
    ) -> None:
        named = {"local": local, "whole": whole}
        self.judges = nn.ModuleDict({k: v for k, v in named.items() if v is not None})
        if not self.judges:
            raise ValueError("'local' or 'whole' must be a discriminator, got neither")
        self.weight, self.temperature = weight, temperature
        self.loss, self.one_stage = gan_loss(loss), one_stage
        if one_stage and local is not None and not self.loss.symmetric:
            raise ValueError(
                "triples of one scene see each other: in one stage 'local' needs a symmetric "
                f"'loss', 'saturating' or 'wgan', got {self.loss.name!r}"
            )
        self.optimizer = torch.optim.Adam(self.judges.parameters(), lr=lr, betas=(0.5, 0.999))
        self.seen: tuple[KnockOut, SceneBatch, Tensor] | None = None
        self.losses: dict[str, float] = {}

    def on_fit_start(self, run: Run) -> None:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            raise ValueError("SceneAdversary trains in one process; run with devices=1")
        self.judges.to(next(run.model.parameters()).device).train()

    def penalty(self, run: Run) -> Tensor:
        """What the discriminators object to in the enricher's objects."""
        batch, proposal = run.task.last  # type: ignore[attr-defined]
        model: Any = run.model
        fake, is_new = self.imagine(model, batch, proposal)
        if self.one_stage:
            return self.one_pass(batch, fake, is_new)
        self.seen = batch, fake, is_new
        loss = proposal.new.new_zeros(())
        for name, discriminator in self.judges.items():
            scores = call_fixed(discriminator, fake)[self.counted(name, fake, is_new)]
            loss = loss + mean(self.loss.generator(scores))
        return self.weight * loss

    def one_pass(self, batch: KnockOut, fake: SceneBatch, is_new: Tensor) -> Tensor:
        """The enricher's loss, the discriminators' gradients put in place beside it."""
        self.optimizer.zero_grad()
        loss = is_new.new_zeros((), dtype=torch.float)
        for name, discriminator in self.judges.items():
            step = OneStageStep(Counted(discriminator), self.loss, self.weight)
            real = batch.whole, self.counted(name, batch.whole, taken_from(batch))
            counted = self.counted(name, fake, is_new)
            # The number of each graph among those whose scores count; the others have none.
            place = torch.where(counted, counted.cumsum(0) - 1, -1)
            rows = None if name == "local" else [place[fake.batch], place[fake.edge_batch]]
            losses = step(real, (fake, counted), rows)
            self.losses[name] = float(losses.discriminator) / 2
            loss = loss + losses.generator
        return loss

    def imagine(self, model: Any, batch: KnockOut, proposal: Proposal) -> tuple[SceneBatch, Tensor]:
        """The rest of each graph with a sampled object where one was taken."""
        one_hot = straight_through(proposal.object_logits[:, :-1], self.temperature)
        nobody = torch.zeros_like(batch.rest.x, dtype=torch.bool)
        alive = batch.category >= 0
        return model.grow(batch.rest, nobody, proposal, one_hot, alive, self.temperature)

    def counted(self, name: str, scenes: SceneBatch, mine: Tensor) -> Tensor:
        """Which of a discriminator's scores count: triples, or graphs, of the objects ``mine``."""
        if name == "local":
            return mine[scenes.edge_index].any(0)
        changed = torch.zeros(scenes.num_graphs, dtype=torch.bool, device=mine.device)
        changed[scenes.batch[mine]] = True
        return changed

    def on_step_end(self, run: Run) -> None:
        """One step of the discriminators on the same graphs."""
        if self.one_stage:
            self.optimizer.step()
            return
        assert self.seen is not None
        batch, fake, is_new = self.seen
        real, taken = batch.whole, taken_from(batch)
        fake.x_soft = fake.edge_soft = None
        self.optimizer.zero_grad()
        total = torch.zeros((), device=real.x.device)
        for name, discriminator in self.judges.items():
            right = discriminator(real)[self.counted(name, real, taken)]
            wrong = discriminator(fake)[self.counted(name, fake, is_new)]
            loss = self.loss.discriminator(right, wrong) / 2
            self.losses[name] = float(loss.detach())
            total = total + loss
        total.backward()
        self.optimizer.step()
        self.seen = None

    def on_epoch_end(self, run: Run) -> None:
        """Adds the discriminators' last losses to the history."""
        run.history[-1] |= {f"{name}_discriminator_loss": v for name, v in self.losses.items()}

    def state_dict(self) -> dict[str, Any]:
        return {"judges": self.judges.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.judges.load_state_dict(state["judges"])
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))


@no_method("scores that count, for a single pass of both players")
class Counted(nn.Module):
    """A discriminator's scores of the triples or graphs that count.

    Args:
        discriminator (torch.nn.Module): Scores of triples or of graphs.
    """

    def __init__(self, discriminator: nn.Module) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, scenes: SceneBatch, counted: Tensor) -> Tensor:
        """The scores where ``counted`` is true."""
        return self.discriminator(scenes)[counted]


def taken_from(batch: KnockOut) -> Tensor:
    """Which objects of the whole graphs were knocked out."""
    taken = torch.zeros_like(batch.whole.x, dtype=torch.bool)
    taken[batch.node[batch.node >= 0]] = True
    return taken
