"""The other player of an adversarial run."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphkit.train.callback import Callback

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from graphkit.train.run import Run

__all__ = ["Opponent"]


class Opponent(Callback):
    """A second player with an optimizer and a loss of its own, inside a
    :class:`~graphkit.train.Trainer`.

    After every so many steps of the first player it takes one. The gradients of the first
    player are left alone: only what the optimizer holds is differentiated. Its parameters keep
    their last gradients until its next step, for :class:`~graphkit.train.CollapseMonitor`. The
    model that is fitted should hold them, so that checkpoints do.

    Args:
        optimizer (torch.optim.Optimizer): Over the second player's parameters.
        loss (callable): ``run -> loss`` of the second player, with a fresh forward pass.
        every (int, optional): Steps of the first player per step of the second.
            (default: :obj:`1`)
        scheduler (LRScheduler, optional): Stepped once per epoch.

    Raises:
        ValueError: If ``every`` is below 1, or several processes train.
        FloatingPointError: If the loss is not finite.

    Example:
        >>> import torch
        >>> from graphkit.train import Opponent
        >>> player = torch.nn.Linear(2, 1)
        >>> optimizer = torch.optim.Adam(player.parameters())
        >>> callback = Opponent(optimizer, lambda run: player(torch.rand(4, 2)).mean(), every=5)
    """

    def __init__(
        self,
        optimizer: Optimizer,
        loss: Callable[[Run], Tensor],
        every: int = 1,
        scheduler: LRScheduler | None = None,
    ) -> None:
        if every < 1:
            raise ValueError(f"'every' must be at least 1, got {every}")
        self.optimizer, self.loss, self.every = optimizer, loss, every
        self.scheduler = scheduler
        self.steps, self.last = 0, 0.0

    def on_fit_start(self, run: Run) -> None:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            raise ValueError("Opponent trains in one process; run with devices=1")
        if not run.history:  # No resumed run: another one may have left its count.
            self.steps = 0

    def on_step_end(self, run: Run) -> None:
        """Counts the first player's step, and takes one of its own when it is due."""
        self.steps += 1
        if self.steps % self.every:
            return
        self.optimizer.zero_grad()
        players = [p for group in self.optimizer.param_groups for p in group["params"]]
        loss = self.loss(run)
        loss.backward(inputs=[p for p in players if p.requires_grad])
        self.last = float(loss.detach())
        if not torch.isfinite(loss.detach()):
            raise FloatingPointError(
                f"the second player's loss became {self.last} in epoch {run.epoch}; "
                "lower its learning rate"
            )
        self.optimizer.step()

    def on_epoch_end(self, run: Run) -> None:
        """Adds the last loss to the history."""
        run.history[-1]["opponent_loss"] = self.last
        if self.scheduler is not None:
            self.scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {"optimizer": self.optimizer.state_dict(), "steps": self.steps}
        if self.scheduler is not None:
            state["scheduler"] = self.scheduler.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        self.steps = state["steps"]
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
