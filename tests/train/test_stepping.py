"""Optimizers that evaluate the loss themselves, and schedulers that wait for the right thing."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

from graphkit.train.stepping import check_scheduler, needs_closure


def optimizer(kind: type = torch.optim.SGD) -> torch.optim.Optimizer:
    return kind([torch.zeros(1, requires_grad=True)])


def test_only_lbfgs_evaluates_the_loss() -> None:
    assert needs_closure(optimizer(torch.optim.LBFGS))
    assert needs_closure(SimpleNamespace(optimizer=optimizer(torch.optim.LBFGS)))
    assert not needs_closure(optimizer())

    class Bare(torch.optim.SGD):
        def step(self) -> None:
            """Takes nothing."""

    assert not needs_closure(optimizer(Bare))


@pytest.mark.parametrize(
    ("mode", "monitor", "minimise", "right"),
    [
        ("min", None, False, True),
        ("min", "mse", True, True),
        ("max", "accuracy", False, True),
        ("max", None, True, False),
        ("max", "mse", True, False),
        ("min", "accuracy", False, False),
    ],
)
def test_a_plateau_waits_for_what_shall_come(
    mode: str, monitor: str | None, minimise: bool, right: bool
) -> None:
    scheduler = ReduceLROnPlateau(optimizer(), mode)
    if right:
        check_scheduler(scheduler, monitor, minimise)
        return
    wanted, way = ("min", "fall") if mode == "max" else ("max", "rise")
    words = f"mode='{mode}', but '{monitor or 'train_loss'}' shall {way}: write mode='{wanted}'"
    with pytest.raises(ValueError, match=words):
        check_scheduler(scheduler, monitor, minimise)


def test_others_wait_for_nothing() -> None:
    check_scheduler(StepLR(optimizer(), 1), "accuracy", False)
    check_scheduler(None, "accuracy", False)
