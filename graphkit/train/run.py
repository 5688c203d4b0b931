"""The state of one training run and what it leaves behind."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from graphkit.train.task import Task


@dataclass
class Result:
    """What :meth:`graphkit.train.Trainer.fit` returns.

    Args:
        metrics (dict): The evaluation at the best epoch of the last stage.
        best_epoch (int): That epoch, counted from 1 within its stage.
        epochs (int): Epochs trained, over all stages.
        stages (int): Number of stages.
        seconds (float): Time spent training and evaluating, resumed parts included.
        history (list): One dictionary per epoch: its evaluation, ``train_loss``, ``stage``.
    """

    metrics: dict[str, float]
    best_epoch: int
    epochs: int
    stages: int
    seconds: float
    history: list[dict[str, float]] = field(repr=False, default_factory=list)


@dataclass
class Run:
    """A training run in progress, as callbacks see it.

    ``model`` is the user's own module; ``wrapped`` is the same module as Lightning
    Fabric prepared it for the device, the precision and the other processes.
    """

    model: nn.Module
    wrapped: nn.Module
    optimizer: Optimizer
    task: Task
    epochs: int
    stage: int = 0
    epoch: int = 0
    seconds: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, float] = field(default_factory=dict)
    best_value: float = math.inf
    best_epoch: int = 0
    improved_epoch: int = 0
    best_weights: dict[str, Any] = field(default_factory=dict)

    judged: nn.Module | None = None
    """The model as tasks evaluate it, in its precision."""

    COUNTERS = (
        *("stage", "epoch", "seconds", "history"),
        *("best", "best_value", "best_epoch", "improved_epoch"),
    )

    def keep_best(self, value: float) -> None:
        """Remembers the present weights and metrics as the best of this stage."""
        if value < self.best_value:
            self.improved_epoch = self.epoch
        self.best_value, self.best_epoch, self.best = value, self.epoch, dict(self.metrics)
        for name, tensor in self.model.state_dict().items():
            if not isinstance(tensor, Tensor):
                continue
            best = self.best_weights.get(name)
            if isinstance(best, Tensor) and best.shape == tensor.shape:
                best.copy_(tensor)
            else:
                self.best_weights[name] = tensor.detach().clone()

    def restore_best(self) -> None:
        """Puts the best weights of this stage back into the model."""
        self.model.load_state_dict({**self.model.state_dict(), **self.best_weights})

    def next_stage(self) -> None:
        """Begins another stage: counters and the best weights start afresh."""
        self.stage, self.epoch = self.stage + 1, 0
        self.best_value, self.best_epoch, self.improved_epoch, self.best = math.inf, 0, 0, {}
        self.best_weights = {}

    def state_dict(self) -> dict[str, Any]:
        """Counters, metrics and best weights as plain values and tensors."""
        state = {name: getattr(self, name) for name in self.COUNTERS}
        return {**state, "best_weights": self.best_weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes a copy of what :meth:`state_dict` gave: a better epoch writes into it."""
        for name in (*self.COUNTERS, "best_weights"):
            setattr(self, name, copy.deepcopy(state[name]))
