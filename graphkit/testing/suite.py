"""The mechanism below every contract suite: named checks that can be declined with a reason."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import ClassVar

import pytest
import torch

PREFIX = "test_"


def seed_everything(seed: int = 0) -> None:
    """Fixes PyTorch's seed; ``UNLOCK_SEED=1`` frees it, to hunt for lucky passes.

    Args:
        seed (int, optional): The seed. (default: :obj:`0`)

    Example:
        >>> import torch
        >>> seed_everything(3)
        >>> first = torch.rand(2)
        >>> seed_everything(3)
        >>> torch.equal(first, torch.rand(2))
        True
    """
    if os.environ.get("UNLOCK_SEED"):
        torch.seed()
    else:
        torch.manual_seed(seed)


class Suite:
    """Base of the contract suites: a pytest class whose ``test_*`` methods are *checks*.

    A subclass that does not claim a feature says so, with the reason, in
    :attr:`not_claimed`; the check is then reported as skipped with that reason. A key is the
    name of a check or the first words of several: ``"attention"`` stands for
    ``attention_alignment`` and ``attention_locality``. An unknown name or an empty reason is
    an error when the class is made, so nothing is ever switched off in silence.

    Example:
        >>> class Claims(Suite):
        ...     not_claimed = {"speed": "measured elsewhere"}
        ...     def test_speed(self): ...
        >>> Claims.checks()
        ['speed']
        >>> class Typo(Suite):
        ...     not_claimed = {"sped": "measured elsewhere"}
        Traceback (most recent call last):
            ...
        ValueError: Typo.not_claimed names 'sped', which is no check; the checks are: []
    """

    not_claimed: ClassVar[dict[str, str]] = {}

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        checks = cls.checks()
        for name, reason in cls.not_claimed.items():
            if not any(_covers(name, check) for check in checks):
                raise ValueError(
                    f"{cls.__name__}.not_claimed names {name!r}, which is no check; "
                    f"the checks are: {checks}"
                )
            if not isinstance(reason, str) or not reason.strip():
                raise ValueError(f"{cls.__name__}.not_claimed[{name!r}] gives no reason")

    @classmethod
    def checks(cls) -> list[str]:
        """The names of all checks, without ``test_``, in alphabetical order."""
        return sorted(name.removeprefix(PREFIX) for name in dir(cls) if name.startswith(PREFIX))

    @classmethod
    def check(cls, name: str) -> Callable[[], None]:
        """One check as a function, for running a suite without pytest.

        Args:
            name (str): A name from :meth:`checks`.

        Raises:
            ValueError: If there is no check of that name.
        """
        if name not in cls.checks():
            raise ValueError(f"{cls.__name__} has no check {name!r}; it has {cls.checks()}")
        return getattr(cls(), PREFIX + name)

    @pytest.fixture(autouse=True)
    def _skip_what_is_not_claimed(self, request: pytest.FixtureRequest) -> None:
        name = request.node.originalname.removeprefix(PREFIX)
        for key, reason in self.not_claimed.items():
            if _covers(key, name):
                pytest.skip(f"{name} is not claimed: {reason}")


def _covers(key: str, check: str) -> bool:
    return check == key or check.startswith(key + "_")
