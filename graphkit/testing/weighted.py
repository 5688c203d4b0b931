"""The contract of an objective of several weighted terms, as a pytest class to inherit."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from graphkit.lopsided import LopsidedWarning
from graphkit.testing.suite import Suite, seed_everything

STEPS = 4


class WeightedSuite(Suite, ABC):
    """The contract of an objective that adds terms by weights: none is drowned in silence.

    A test supplies :meth:`make`, which builds the objective with some of :attr:`weights` other
    than they come, and :meth:`step`, one call of it in training. Such an objective looks at the
    gradients of its terms in the second step, by :mod:`graphkit.lopsided`.

    Example:
        >>> import torch
        >>> from graphkit.lopsided import watch_terms
        >>> class Fit:
        ...     def __init__(self, small=1.0):
        ...         self.small, self.x = small, torch.ones(3, requires_grad=True)
        ...     def loss(self):
        ...         terms = {"error": (1.0, self.x.sum()), "small": (self.small, self.x.sum())}
        ...         watch_terms(self, terms, [self.x])
        ...         return self.x.sum() + self.small * self.x.sum()
        >>> class TestFit(WeightedSuite):
        ...     weights = {"small": 1e6}
        ...     def make(self, **weights):
        ...         return Fit(**weights)
        ...     def step(self, objective):
        ...         return objective.loss().backward()
        >>> for name in TestFit.checks():
        ...     TestFit.check(name)()
    """

    weights: ClassVar[dict[str, float]]
    """Arguments that weigh a term, each with a value at which it drowns the others."""

    @abstractmethod
    def make(self, **weights: float) -> Any:
        """Builds the objective."""

    @abstractmethod
    def step(self, objective: Any) -> Any:
        """One call of the objective in training."""

    def run(self, **weights: float) -> list[str]:
        """The warnings of some steps."""
        seed_everything()
        objective = self.make(**weights)
        return warned(lambda: [self.step(objective) for _ in range(STEPS)])

    def test_defaults_are_even(self) -> None:
        """As it comes, no term drowns another."""
        assert self.run() == []

    def test_a_weight_that_drowns_others_is_named_once(self) -> None:
        """Each weight, raised beyond measure, is named with the advice to lower it, once."""
        assert self.weights, "'weights' names no argument"
        for name, value in self.weights.items():
            messages = self.run(**{name: value})
            assert len(messages) == 1, f"{name}={value:g}: {len(messages)} warnings, not one"
            assert f"lower '{name}'" in messages[0], f"{name}={value:g}: {messages[0]}"

    def test_a_weight_of_zero_is_no_fault(self) -> None:
        """A term that is left out is not missed."""
        for name in self.weights:
            messages = [m for m in self.run(**{name: 0.0}) if f"'{name}'" in m]
            assert messages == [], f"{name}=0: {messages}"


def warned(run: Callable[[], Any]) -> list[str]:
    """What a function warns of, about terms that drown others.

    Args:
        run (callable): Any function.

    Example:
        >>> warned(lambda: 1 + 1)
        []
    """
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        run()
    return [str(w.message) for w in seen if issubclass(w.category, LopsidedWarning)]
