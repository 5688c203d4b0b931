"""Warnings of a term that drowns the others, by its gradient; nothing here changes a figure."""

# fingerprint: not counted

from __future__ import annotations

import math
import warnings
import weakref
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

__all__ = [
    "LopsidedWarning",
    "warn_lopsided",
    "watch_penalty",
    "watch_scale",
    "watch_spreads",
    "watch_terms",
]

LOOK = 2
"""Which call is looked at: the first one's features are those of random weights."""
MOST_PENALTY = 2.0
"""How many times the gradient of all else that of a penalty may be. Measured with eight
distillation losses on Cora and digits: all that cost over two points were above it, but for one."""
MOST_TERM = 1e3
"""How many times the gradient of one term that of another in the same objective may be."""
MOST_WEIGHT = 100.0
"""How many times the weight of one term that of another may be."""
MOST_SPREAD = 10.0
"""How many times the spread of one summand that of another may be, or it alone gives the order."""


class LopsidedWarning(UserWarning):
    """One term of an objective leaves others without any say."""


def warn_lopsided(message: str, stacklevel: int = 3) -> None:
    """Warns by :class:`LopsidedWarning`, from the place that called the caller.

    Args:
        message (str): What is lopsided, by the name of the argument, and what to do.
        stacklevel (int, optional): As in :func:`warnings.warn`. (default: :obj:`3`)
    """
    warnings.warn(message, LopsidedWarning, stacklevel=stacklevel + 1)


def watch_penalty(
    owner: Any, terms: Iterable[tuple[str, Tensor]], parameters: Iterable[Tensor]
) -> None:
    """Compares a penalty's gradient with that of all else that is differentiated in the same step.

    It looks once, at the second call, for a backward pass of the terms more, and judges when the
    pass that reaches the terms ends. A task's loss that is differentiated apart counts if that is
    before. A loss that a gradient scaler multiplies is not judged right.

    Args:
        owner (object): Whose calls are counted.
        terms (iterable): The weighted terms after what the warning shall call each; only a call
            that looks at them goes through it.
        parameters (iterable of torch.Tensor): Those that penalty and loss share.

    Warns:
        LopsidedWarning: If the gradient of a term is over twice that of all but the terms.
    """
    watch = vars(owner).pop("penalty_watch", None)
    if watch is not None:
        watch.stop()
    if due(owner, "penalty"):
        shared = [p for p in parameters if p.requires_grad]
        live = {name: term for name, term in terms if term.requires_grad}
        if shared and live:
            watch = vars(owner)["penalty_watch"] = PenaltyWatch(live, shared)
            # Nobody may differentiate the terms: then it ends with its owner.
            weakref.finalize(owner, watch.stop)


class PenaltyWatch:
    """Gradients of some terms, and what flows into the parameters until they are judged.

    Args:
        terms (dict): The weighted terms.
        parameters (list of torch.Tensor): The parameters.
    """

    def __init__(self, terms: dict[str, Tensor], parameters: list[Tensor]) -> None:
        self.terms = {name: gradients(term, parameters) for name, term in terms.items()}
        self.rest = [-sum(parts) for parts in zip(*self.terms.values(), strict=True)]
        self.reached = False
        self.handles = [p.register_hook(partial(self.add, k)) for k, p in enumerate(parameters)]
        self.handles += [term.register_hook(self.reach) for term in terms.values()]

    def __deepcopy__(self, memo: dict[int, Any]) -> None:
        """A copy of a model is not watched."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()

    def add(self, place: int, gradient: Tensor) -> None:
        """What a backward pass brings to one parameter."""
        self.rest[place] = self.rest[place] + gradient.detach()

    def reach(self, _: Tensor) -> None:
        """Asks to judge at the end of the backward pass that has come to a term."""
        if not self.reached:
            self.reached = True
            # There is no other way to learn of the end of a pass, as data parallelism does.
            torch.autograd.Variable._execution_engine.queue_callback(self.judge)

    def stop(self) -> None:
        """Takes the hooks and the gradients away."""
        for handle in self.handles:
            handle.remove()
        self.handles, self.terms, self.rest = [], {}, []

    def judge(self) -> None:
        """Stops watching, and warns of terms beside which all else is small."""
        sizes, task = {name: norm(parts) for name, parts in self.terms.items()}, norm(self.rest)
        self.stop()
        # What rounding leaves of the terms' own gradient is no task.
        if not task > 1e-6 * sum(sizes.values()):
            return
        for name, size in sizes.items():
            if MOST_PENALTY * task < size < math.inf:
                ratio = size / task
                warn_lopsided(
                    f"the gradient of {name} is {ratio:.2g} times that of the task's loss, which "
                    f"then has little say: take {1 / ratio:.1g} of that weight, or less",
                    stacklevel=5,
                )


def watch_terms(
    owner: Any,
    terms: Mapping[str, tuple[float, Tensor]],
    parameters: Iterable[Tensor],
    main: str = "",
) -> None:
    """Compares the gradients of the weighted terms of one objective with each other, once.

    Only weights that are far apart themselves are at fault: a term that is fulfilled has hardly
    any gradient at whatever weight.

    Args:
        owner (object): Whose calls are counted.
        terms (dict): The weight and the term without it, by the argument that weighs it.
        parameters (iterable of torch.Tensor): Those that the terms share; a loss that knows no
            network takes that network's outputs.
        main (str, optional): The term that the others are to regularise: only it may not be
            drowned, whatever its weight. (default: none, any may not)

    Warns:
        LopsidedWarning: If the gradient of one is over a thousand times that of another, and its
            weight over a hundred times.
    """
    if not due(owner, "terms"):
        return
    shared = [p for p in parameters if p.requires_grad]
    live = {n: (w, t) for n, (w, t) in terms.items() if w > 0 and shared and t.requires_grad}
    sizes = {name: w * norm(gradients(term, shared)) for name, (w, term) in live.items()}
    sizes = {name: size for name, size in sizes.items() if 0 < size < math.inf}
    if len(sizes) < 2:
        return
    least, most = main or min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
    ratio = sizes[most] / sizes.get(least, math.inf)
    apart = bool(main) or live[most][0] > MOST_WEIGHT * live[least][0]
    if ratio > MOST_TERM and apart:
        warn_lopsided(
            f"the gradient of the term of '{most}' is {ratio:.0e} times that of '{least}', which "
            f"then has no say: lower '{most}', or raise '{least}'"
        )


@lru_cache(maxsize=256)
def calls_of(function: str, *weights: float) -> SimpleNamespace:
    """Who counts the calls of a function, which has no state: one for the same weights."""
    return SimpleNamespace()


def watch_scale(owner: Any, x: Tensor, eps: float, advice: str) -> None:
    """Looks once at whether a norm's small constant is all that it divides features by.

    Args:
        owner (object): Whose calls are counted.
        x (torch.Tensor): What is to be normalised, ``[N, C]``.
        eps (float): The constant that the norm adds to the variance.
        advice (str): What to do.

    Warns:
        LopsidedWarning: If the mean variance of the columns is below the constant.
    """
    if len(x) < 2 or not due(owner, "scale", look=1):
        return
    variance = float(x.detach().double().var(0).mean())
    if 0 < variance < eps:
        warn_lopsided(
            f"features of variance {variance:.0e} meet a norm that adds {eps:.0e} to it, so that "
            f"their signal is lost: {advice}"
        )


def watch_spreads(first: Tensor, second: Tensor, names: tuple[str, str], advice: str) -> None:
    """Looks at whether one of two summands alone gives the order of their sums.

    Args:
        first, second (torch.Tensor): The summands, one of each candidate.
        names (tuple of str): What they are called.
        advice (str): What to do.

    Warns:
        LopsidedWarning: If the deviation of one is over ten times that of the other.
    """
    spreads = [float(part.double().std()) for part in (first, second)]
    if len(first) < 3 or not min(spreads) > 0:
        return
    most = spreads.index(max(spreads))
    ratio = spreads[most] / spreads[1 - most]
    if ratio > MOST_SPREAD:
        warn_lopsided(
            f"{names[most]} vary {ratio:.0f} times as much as {names[1 - most]}, which then have "
            f"no say in the order: {advice}",
            stacklevel=4,
        )


def due(owner: Any, what: str, look: int = LOOK) -> bool:
    """Whether this call of the owner is the one to look at."""
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return False
    counter = f"{what}_watched"
    count = vars(owner).get(counter, 0) + 1
    vars(owner)[counter] = count
    return count == look


def gradients(term: Tensor, parameters: list[Tensor]) -> list[Tensor]:
    """The gradient of a term, whose graph stays; zeros where it does not depend on a tensor."""
    grads = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
    return [
        torch.zeros_like(p) if g is None else g.detach()
        for p, g in zip(parameters, grads, strict=True)
    ]


def norm(parts: Iterable[Tensor]) -> float:
    """The Euclidean norm over several tensors, in double precision."""
    return math.sqrt(sum(float(part.double().square().sum()) for part in parts))
