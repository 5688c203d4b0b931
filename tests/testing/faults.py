"""Lists of planted faults: which check of which suite must catch which broken thing."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from graphkit.testing import Suite

FAILURE = (
    AssertionError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.PicklingError,
    pickle.UnpicklingError,
)


@dataclass
class FaultList:
    """Broken things, registered with the checks that must catch them."""

    suite_of: Callable[[type], type[Suite]]
    entries: list[tuple[type, str]] = field(default_factory=list)

    def caught_by(self, *checks: str) -> Callable[[type], type]:
        def register(kind: type) -> type:
            self.entries.extend((kind, check) for check in checks)
            return kind

        return register

    def parametrize(self) -> pytest.MarkDecorator:
        ids = [f"{kind.__name__}-{check}" for kind, check in self.entries]
        return pytest.mark.parametrize(("kind", "check"), self.entries, ids=ids)

    def assert_caught(self, kind: type, check: str) -> None:
        with pytest.raises(FAILURE):
            self.suite_of(kind).check(check)()

    def unproven(self, suite: type[Suite]) -> set[str]:
        return set(suite.checks()) - {check for _, check in self.entries}
