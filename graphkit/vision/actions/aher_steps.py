"""The six alternating steps that train AherNet."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.catalog import no_method
from graphkit.refusals import refuse_negative
from graphkit.vision.actions.aher_loss import AherLoss
from graphkit.vision.actions.ahernet import AherNet
from graphkit.vision.actions.anchors import pyramid_anchors
from graphkit.vision.actions.moment_context import (
    ContextDiscriminator,
    ContextGenerator,
    cropped,
    edges_repeated,
    surround,
)
from graphkit.words import refuse_classes

__all__ = ["AherBatch", "AherSteps"]

Context = Literal["adversarial", "random", "repeat", "none"]
CONTEXTS = ("adversarial", "random", "repeat", "none")
SHARES = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
PLACES = tuple(0.05 + 0.1 * step for step in range(10))
NAMES = (
    "classify_moments",
    "classify_foreground",
    "localize_videos",
    "help_localizer",
    "play",
    "localize_moments",
)


@no_method("what AherNet learns from at once")
class AherBatch(NamedTuple):
    """Moments of target classes and videos of base classes.

    Args:
        moments (torch.Tensor): Trimmed, all of one length, ``[B, F, M]``.
        kinds (torch.Tensor): Their target classes from 0, ``[B]``.
        videos (torch.Tensor): Untrimmed, ``[B, F, T]``.
        truth (sequence of tuple): For each video segments ``[K, 2]`` as shares of it and their
            base classes ``[K]``.

    Example:
        >>> import torch
        >>> from graphkit.vision import AherBatch
        >>> truth = [(torch.tensor([[0.2, 0.5]]), torch.tensor([0]))]
        >>> AherBatch(torch.rand(1, 4, 16), torch.tensor([1]), torch.rand(1, 4, 32), truth).kinds
        tensor([1])
    """

    moments: Tensor
    kinds: Tensor
    videos: Tensor
    truth: Sequence[tuple[Tensor, Tensor]]


@no_method("the training of AherNet")
class AherSteps:
    r"""Trains an :class:`~graphkit.vision.AherNet` by six steps in turns, each of which changes
    its own parameters and no others:

    1. ``classify_moments``: target classifiers and backbone, on moments;
    2. ``classify_foreground``: base classifiers, on the actions cut out of videos;
    3. ``localize_videos``: backbone, heads and weight transfer, on videos;
    4. ``help_localizer``: the context generator, so that moments in context are localised;
    5. ``play``: the discriminator, then the generator :obj:`rounds` times, on background alone:
       that of videos is real, that of moments in context is not;
    6. ``localize_moments``: backbone and heads, on moments in context.

    .. math::
        \mathcal{L}_D = -\overline{\log \sigma(D_a(v))} - \overline{\log (1 - \sigma(D_a(s)))},
        \qquad \mathcal{L}_G = -\overline{\log \sigma(D_a(s))}

    with means over anchors :math:`a` of background in videos :math:`v` and in sequences
    :math:`s`; no background costs nothing. Each step has an Adam of its own.

    Args:
        model (AherNet): What is trained.
        generator (ContextGenerator, optional): (default: a new one)
        discriminator (ContextDiscriminator, optional): (default: a new one)
        loss (AherLoss, optional): Of steps 3, 4 and 6. (default: :obj:`AherLoss()`)
        context (str, optional): ``"adversarial"``; ``"random"``: the generator stays as it is;
            ``"repeat"``: a moment's first and last frames are repeated; ``"none"``: steps 1 to
            3 alone. (default: ``"adversarial"``)
        lr (float, optional): (default: :obj:`1e-4`)
        adversary_lr (float, optional): Of step 5. (default: :obj:`1e-4`)
        adversary (float, optional): Weight of step 5's losses. (default: :obj:`0.1`)
        shares (sequence of float, optional): Shares of a sequence that a moment may take.
            (default: 0.7, 0.75, …, 0.95)
        places (sequence of float, optional): Shares of the context that may come before it.
            (default: 0.05, 0.15, …, 0.95)
        rounds (int, optional): Generator's steps in ``play``. (default: :obj:`2`)
        variant (str, optional): ``"paper"``, or ``"released"``: an anchor counts in ``play``
            where it is background in a video and in the sequence of the same place in the
            batch. (default: ``"paper"``)
        seed (int, optional): For shares and places. (default: :obj:`0`)

    Raises:
        ValueError: If an option is wrong, or a batch does not fit.
        TypeError: If a network or the loss is a class.
        FloatingPointError: If a loss is not finite.

    Example:
        >>> import torch
        >>> from graphkit.vision import AherBatch, AherNet, AherSteps
        >>> steps = AherSteps(AherNet(4, base=2, target=2, channels=4, num_levels=2))
        >>> truth = [(torch.tensor([[0.2, 0.5]]), torch.tensor([0]))]
        >>> batch = AherBatch(torch.rand(1, 4, 8), torch.tensor([1]), torch.rand(1, 4, 16), truth)
        >>> sorted(steps.iterate(batch))[:2]
        ['classify_foreground', 'classify_moments']
        >>> steps.step(batch)[0]
        'classify_moments'
    """

    def __init__(
        self,
        model: AherNet,
        generator: ContextGenerator | None = None,
        discriminator: ContextDiscriminator | None = None,
        loss: AherLoss | None = None,
        context: Context = "adversarial",
        lr: float = 1e-4,
        adversary_lr: float = 1e-4,
        adversary: float = 0.1,
        shares: Sequence[float] = SHARES,
        places: Sequence[float] = PLACES,
        rounds: int = 2,
        variant: Literal["paper", "released"] = "paper",
        seed: int = 0,
    ) -> None:
        players = {"generator": generator, "discriminator": discriminator, "loss": loss}
        refuse_classes(model=model, **players)
        if context not in CONTEXTS or variant not in ("paper", "released"):
            raise ValueError(
                f"'context' must be one of {CONTEXTS} and 'variant' 'paper' or 'released', got "
                f"{context!r} and {variant!r}"
            )
        if not shares or not places or not all(0 < s <= 1 for s in shares):
            raise ValueError(f"'shares' must be in (0, 1], got {shares}, and there be 'places'")
        if not all(0 <= place <= 1 for place in places) or rounds < 1:
            raise ValueError(f"'places' must be in [0, 1] and 'rounds' positive, got {places}")
        # The players see what the backbone sees, unless somebody brings their own.
        width, levels = model.channels, len(model.heads)
        self.model = model
        self.generator = generator or ContextGenerator(model.in_channels, width)
        self.discriminator = discriminator or ContextDiscriminator(width, levels, len(model.ratios))
        self.loss = AherLoss() if loss is None else loss
        self.context, self.adversary, self.rounds, self.variant = (
            context,
            adversary,
            rounds,
            variant,
        )
        self.shares, self.places = torch.tensor(list(shares)), torch.tensor(list(places))
        self.random = torch.Generator().manual_seed(seed)
        self.done = 0
        # An optimizer of its own for each step: shared moments would let one step's gradients
        # move parameters in the next one. Players of a game have less momentum.
        self.optimizers = {
            name: torch.optim.Adam(
                parameters,
                adversary_lr if "play" in name else lr,
                (0.5 if "play" in name else 0.9, 0.999),
            )
            for name, parameters in self.groups().items()
        }

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """The parameters that each step may change; ``play`` has one group per player."""
        model = self.model
        parts: dict[str, list[nn.Module]] = {
            "classify_moments": [model.backbone, model.classify_target],
            "classify_foreground": [model.classify_base],
            "localize_videos": [model.backbone, model.heads, model.transfer],
            "help_localizer": [self.generator],
            "play_discriminator": [self.discriminator],
            "play_generator": [self.generator],
            "localize_moments": [model.backbone, model.heads],
        }
        return {
            name: [p for part in modules for p in part.parameters()]
            for name, modules in parts.items()
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The steps of one iteration, in order."""
        without = {
            "adversarial": (),
            "random": ("help_localizer", "play"),
            "repeat": ("help_localizer", "play"),
            "none": ("help_localizer", "play", "localize_moments"),
        }
        return tuple(name for name in NAMES if name not in without[self.context])

    def iterate(self, batch: AherBatch) -> dict[str, float]:
        """The steps that are left of this iteration; their losses by name."""
        losses = dict([self.step(batch)])
        while self.done % len(self.names):
            losses |= dict([self.step(batch)])
        return losses

    def step(self, batch: AherBatch) -> tuple[str, float]:
        """The next step in turn: its name and its loss."""
        if not len(batch.moments) == len(batch.kinds) > 0 or len(batch.videos) != len(batch.truth):
            raise ValueError(
                f"'batch' has {len(batch.moments)} moments of {len(batch.kinds)} classes and "
                f"{len(batch.videos)} videos with the truth of {len(batch.truth)}"
            )
        refuse_negative("kinds", batch.kinds)
        name = self.names[self.done % len(self.names)]
        loss = getattr(self, name)(batch)
        self.done += 1
        return name, loss

    def descend(self, name: str, loss: Tensor) -> float:
        """One step of a group's optimizer; nobody else gets a gradient."""
        value = float(loss.detach())
        if not loss.isfinite():
            raise FloatingPointError(f"the loss of {name!r} became {value}; lower 'lr'")
        optimizer = self.optimizers[name]
        optimizer.zero_grad()
        if loss.requires_grad:
            own = [p for group in optimizer.param_groups for p in group["params"]]
            grads = torch.autograd.grad(loss, own, allow_unused=True)
            for parameter, grad in zip(own, grads, strict=True):
                parameter.grad = grad
            optimizer.step()
            # What is left over would be another step's.
            optimizer.zero_grad()
        return value

    def classify_moments(self, batch: AherBatch) -> float:
        """Step 1: moments get their classes."""
        return self.descend(
            "classify_moments", entropy(self.model.classify(batch.moments), batch.kinds)
        )

    def classify_foreground(self, batch: AherBatch) -> float:
        """Step 2: actions cut out of videos get their classes."""
        count = torch.tensor([len(kinds) for _, kinds in batch.truth])
        if not count.sum():
            return self.descend("classify_foreground", batch.videos.new_zeros(()))
        row = torch.arange(len(count)).repeat_interleave(count).to(batch.videos.device)
        segments = torch.cat([part for part, _ in batch.truth]).to(batch.videos)
        kinds = torch.cat([part for _, part in batch.truth]).to(batch.kinds)
        actions = cropped(batch.videos[row], segments, batch.moments.size(2))
        logits = self.model.classify(actions, "base")
        return self.descend("classify_foreground", entropy(logits, kinds))

    def localize_videos(self, batch: AherBatch) -> float:
        """Step 3: actions in videos are localised by transferred weights."""
        found = self.model(batch.videos, "base")
        return self.descend("localize_videos", self.loss(found, batch.truth))

    def help_localizer(self, batch: AherBatch) -> float:
        """Step 4: contexts in which moments are localised."""
        x, truth = self.sequences(batch)
        return self.descend("help_localizer", self.loss(self.model(x), truth))

    def play(self, batch: AherBatch) -> float:
        """Step 5: discriminator, then generator; the discriminator's loss."""
        with torch.no_grad():
            x, truth = self.sequences(batch)
            maps = self.model.pyramid(batch.videos), self.model.pyramid(x)
        real, fake = self.backgrounds(batch, truth)
        loss = masked(F.softplus(-self.discriminator(maps[0])), real)
        loss = loss + masked(F.softplus(self.discriminator(maps[1])), fake)
        first = self.descend("play_discriminator", self.adversary * loss)
        for _ in range(self.rounds):
            x, truth = self.sequences(batch)
            _, fake = self.backgrounds(batch, truth)
            score = self.discriminator(self.model.pyramid(x))
            self.descend("play_generator", self.adversary * masked(F.softplus(-score), fake))
        return first

    def localize_moments(self, batch: AherBatch) -> float:
        """Step 6: moments in context are localised."""
        with torch.no_grad():
            x, truth = self.sequences(batch)
        return self.descend("localize_moments", self.loss(self.model(x), truth))

    def sequences(self, batch: AherBatch) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Moments in context, and where they are."""
        moments, frames = batch.moments, batch.videos.size(2)
        repeated = self.context == "repeat"
        context = edges_repeated(moments) if repeated else self.generator(moments)
        share, place = (
            values[torch.randint(len(values), (len(moments),), generator=self.random)]
            for values in (self.shares, self.places)
        )
        length = (share * frames).round().long().clamp(1, frames)
        start = (place * (frames - length)).round().long()
        device = moments.device
        x, segments = surround(moments, context, length.to(device), start.to(device), frames)
        truth = [
            (s, k) for s, k in zip(segments.unsqueeze(1), batch.kinds.unsqueeze(1), strict=True)
        ]
        return x, truth

    def backgrounds(
        self, batch: AherBatch, truth: list[tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """Anchors of background in videos, and in sequences."""
        frames, levels = batch.videos.size(2), len(self.model.heads)
        cells = [frames >> (level + 2) for level in range(levels)]
        anchors = pyramid_anchors(cells, self.model.ratios).segments().to(batch.videos)
        real = self.loss.background(anchors, batch.truth)
        fake = self.loss.background(anchors, truth)
        if self.variant == "released":
            if real.shape != fake.shape:
                raise ValueError(
                    f"variant 'released' pairs videos and moments, got {len(real)} and {len(fake)}"
                )
            real = fake = real & fake
        return real, fake

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimizers, whose turn it is, and the random numbers to come."""
        return {
            "model": self.model.state_dict(),
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "optimizers": {name: one.state_dict() for name, one in self.optimizers.items()},
            "done": self.done,
            "random": self.random.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where :meth:`state_dict` was taken, also in the middle of an iteration."""
        for name in ("model", "generator", "discriminator"):
            getattr(self, name).load_state_dict(state[name])
        for name, one in self.optimizers.items():
            one.load_state_dict(copy.deepcopy(state["optimizers"][name]))
        self.done = state["done"]
        self.random.set_state(state["random"])


def entropy(logits: Tensor, kinds: Tensor) -> Tensor:
    """Cross entropy of all levels together, ``[L, B, K]`` and ``[B]``."""
    return F.cross_entropy(logits.flatten(0, 1), kinds.repeat(len(logits)))


def masked(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of some values; 0 where there is none."""
    return (values * mask).sum() / mask.sum().clamp(min=1)
