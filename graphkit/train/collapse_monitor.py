"""Watching an adversarial run for collapse."""

from __future__ import annotations

import contextlib
import copy
import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from graphkit.modes import frozen
from graphkit.taps import tap
from graphkit.train.callback import Callback
from graphkit.words import refuse_classes

if TYPE_CHECKING:
    from graphkit.train.run import Run

__all__ = ["CollapseMonitor", "CollapseWarning", "label_entropy"]

ADVICE = {
    "label_entropy": "it makes samples of few classes; lower its learning rate or add a balance "
    "term to its loss",
    "dead_channels": "its channels no longer depend on the noise; lower its learning rate or use "
    "LeakyReLU and a normalisation",
    "gradient_ratio": "one player hardly learns beside the other; change the learning rates or "
    "the number of steps of each",
    "discrepancy": "the opponent no longer follows; give it more steps or a higher learning rate, "
    "and avoid batch normalisation in it",
}


class CollapseWarning(UserWarning):
    """An adversarial run looks as if it had collapsed."""


class CollapseMonitor(Callback):
    r"""Takes readings of a generator and its opponent, and warns when they look like collapse.

    ============== ============================================ ============================
    reading        what it is                                   collapse
    ============== ============================================ ============================
    discrepancy    what the caller measures between two players above ``growth`` × its lowest
    label_entropy  :func:`label_entropy` of the samples' logits below ``least_entropy``
    dead_channels  share of the generator's channels that do    above ``most_dead``
                   not change with the noise
    gradient_ratio norm of the generator's last gradients over  outside of
                   the opponent's                               :math:`[1/r, r]`,
                                                                ``most_ratio``
    ============== ============================================ ============================

    A reading that is bad ``patience`` times in a row is warned about, once. Reading leaves no
    trace: networks are looked at in evaluation mode, always with the same noise, and the random
    generators are as before. It costs one pass of the samples through the networks.

    It is a callback of a :class:`~graphkit.train.Trainer`, which reads after every epoch and
    keeps the readings in the history; in a loop of one's own, call :meth:`read` before gradients
    are set to zero. ``graphkit.plot.as_curves(monitor.history)`` draws the readings.

    Args:
        generator (torch.nn.Module): The network that makes samples.
        opponent (torch.nn.Module): The other one.
        sample (callable): ``() -> samples`` of the generator, with torch's own random numbers.
        classify (callable, optional): ``samples -> logits``, :math:`(B, K)` or
            :math:`(B, K, \ldots)`, by a network that knows the classes; inside a function of
            one's own it is in the mode that it has then.
        discrepancy (callable, optional): ``samples -> number``, such as a mean difference of
            logits.
        layers (sequence of str, optional): Modules of the generator whose channels are counted.
            (default: its activations, or else all modules with weights; none, as for a compiled
            generator, leaves that reading out)
        least_entropy, most_dead, most_ratio, growth (float, optional): Where collapse begins.
        patience (int, optional): Bad readings in a row before it warns. (default: :obj:`3`)

    Raises:
        ValueError: If a limit is out of range, or a module is unknown.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from graphkit.train import CollapseMonitor
        >>> generator, judge = nn.Sequential(nn.Linear(2, 4), nn.ReLU()), nn.Linear(4, 3)
        >>> monitor = CollapseMonitor(
        ...     generator, judge, lambda: generator(torch.randn(50, 2)), classify=judge)
        >>> sorted(monitor.read())
        ['dead_channels', 'label_entropy']
    """

    def __init__(
        self,
        generator: nn.Module,
        opponent: nn.Module,
        sample: Callable[[], Any],
        classify: Callable[[Any], Tensor] | None = None,
        discrepancy: Callable[[Any], float | Tensor] | None = None,
        layers: list[str] | None = None,
        least_entropy: float = 0.3,
        most_dead: float = 0.5,
        most_ratio: float = 1e4,
        growth: float = 10.0,
        patience: int = 3,
    ) -> None:
        refuse_classes(generator=generator, opponent=opponent)
        if not (0 <= least_entropy <= 1 and 0 <= most_dead <= 1):
            raise ValueError(
                "'least_entropy' and 'most_dead' must be in [0, 1], got "
                f"{least_entropy} and {most_dead}"
            )
        if most_ratio <= 1 or growth <= 1 or patience < 1:
            raise ValueError(
                "'most_ratio' and 'growth' must be above 1 and 'patience' at least 1, got "
                f"{most_ratio}, {growth} and {patience}"
            )
        self.generator, self.opponent, self.sample = generator, opponent, sample
        self.classify, self.discrepancy = classify, discrepancy
        self.layers = counted_layers(generator) if layers is None else list(layers)
        if self.layers:
            with tap(generator, *self.layers) as record:
                record.clear()  # Only to have unknown names refused now.
        self.history: list[dict[str, float]] = []
        self.least_entropy, self.most_dead = least_entropy, most_dead
        self.most_ratio, self.growth, self.patience = most_ratio, growth, patience
        self.bad: dict[str, int] = {}
        self.collapsed: dict[str, int] = {}

    @torch.no_grad()
    def read(self) -> dict[str, float]:
        """Takes the readings, keeps them in ``history``, and warns if they are bad."""
        reading: dict[str, float] = {}
        devices = {p.device for p in self.generator.parameters() if p.is_cuda}
        with contextlib.ExitStack() as block:
            block.enter_context(torch.random.fork_rng(devices=list(devices)))
            for player in (self.generator, self.opponent, self.classify, self.discrepancy):
                if isinstance(player, nn.Module):
                    block.enter_context(frozen(player))
            torch.manual_seed(0)
            if self.layers:
                with tap(self.generator, *self.layers) as record:
                    samples = self.sample()
                outputs = [call.output for calls in record.calls.values() for call in calls]
                reading["dead_channels"] = dead_share(outputs)
            else:
                samples = self.sample()
            if self.discrepancy is not None:
                reading["discrepancy"] = float(self.discrepancy(samples))
            if self.classify is not None:
                reading["label_entropy"] = float(label_entropy(self.classify(samples)))
        ours, theirs = gradient_norm(self.generator), gradient_norm(self.opponent)
        if ours is not None and theirs is not None:
            reading["gradient_ratio"] = ours / theirs if theirs else math.inf
        self.history.append(reading)
        self.judge(reading)
        return reading

    def judge(self, reading: dict[str, float]) -> None:
        """Counts bad readings and warns about those that stay bad."""
        for name, value in reading.items():
            self.bad[name] = self.bad.get(name, 0) + 1 if self.is_bad(name, value) else 0
            if self.bad[name] < self.patience or name in self.collapsed:
                continue
            self.collapsed[name] = len(self.history)
            warnings.warn(
                f"the generator seems to have collapsed: {name} is {value:.3g} at reading "
                f"{len(self.history)}; {ADVICE[name]}",
                CollapseWarning,
                stacklevel=3,
            )

    def is_bad(self, name: str, value: float) -> bool:
        """Whether a reading is beyond its limit; NaN always is."""
        if name == "label_entropy":
            return not value >= self.least_entropy
        if name == "dead_channels":
            return not value <= self.most_dead
        if name == "gradient_ratio":
            return not 1 / self.most_ratio <= value <= self.most_ratio
        lowest = min(one[name] for one in self.history if name in one)
        return not value <= self.growth * max(lowest, 1e-12)

    def on_epoch_end(self, run: Run) -> None:
        run.history[-1] |= self.read()

    def state_dict(self) -> dict[str, Any]:
        names = ("history", "bad", "collapsed")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, copy.deepcopy(value))


def label_entropy(logits: Tensor) -> Tensor:
    r"""The entropy of the mean prediction, as a share of the largest there is: 1 where all
    classes are equally frequent, 0 where there is only one.

    .. math::
        H = -\frac{1}{\log K} \sum_c \bar{p}_c \log \bar{p}_c, \qquad
        \bar{p} = \frac{1}{B} \sum_i \mathrm{softmax}(z_i)

    Args:
        logits (torch.Tensor): Logits :math:`(B, K)` or :math:`(B, K, \ldots)`.

    Example:
        >>> import torch
        >>> label_entropy(torch.tensor([[50.0, 0.0], [0.0, 50.0]]))
        tensor(1.)
    """
    share = logits.softmax(1).transpose(0, 1).flatten(1).mean(1)
    # The logarithm of a share that has underflowed would have no gradient.
    share = share.clamp(min=torch.finfo(share.dtype).tiny)
    return -(share * share.log()).sum() / math.log(max(len(share), 2))


def counted_layers(generator: nn.Module) -> list[str]:
    """The names of a generator's activations, or else of its modules with weights."""
    leaves = {n: m for n, m in generator.named_modules() if not list(m.children())}
    active = [n for n, m in leaves.items() if type(m).__module__ == "torch.nn.modules.activation"]
    return active or [n for n, m in leaves.items() if list(m.parameters())]


def dead_share(outputs: list[Any]) -> float:
    """The share of channels that are the same for all samples, over layers ``[B, C, …]``."""
    dead, count = 0, 0
    for output in outputs:
        if not isinstance(output, Tensor) or output.dim() < 2:
            continue
        channels = output.float().transpose(0, 1).flatten(2 if output.dim() > 2 else 1)
        spread = channels - channels[:, :1]
        moved = spread.abs().flatten(1).amax(1)
        dead += int((moved <= 1e-4 * output.float().abs().mean()).sum())
        count += len(channels)
    return dead / max(count, 1)


def gradient_norm(model: nn.Module) -> float | None:
    """The norm of the last gradients; :obj:`None` if there are none."""
    norms = [p.grad.norm() for p in model.parameters() if p.grad is not None]
    return float(torch.stack(norms).norm()) if norms else None
