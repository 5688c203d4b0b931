"""Stages of training with new shortest paths between them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from graphkit.precision import cast_floats
from graphkit.train.callback import Callback

if TYPE_CHECKING:
    from graphkit.train.run import Run


class PathRounds(Callback):
    r"""Trains, lets the model find new paths by its best attention, and trains again.

    Serves any model with a method ``next_round(x, edge_index)`` and an attribute ``paths``
    (a dictionary of tensors), such as :class:`graphkit.nn.SPAGAN`, on a task with ``data``.

    Args:
        rounds (int, optional): How often paths are found. (default: :obj:`1`)

    Raises:
        ValueError: If :obj:`rounds` is negative.

    Example:
        >>> from graphkit.train import PathRounds, Trainer
        >>> trainer = Trainer(epochs=5, callbacks=[PathRounds(rounds=2)], progress=False)
    """

    def __init__(self, rounds: int = 1) -> None:
        if rounds < 0:
            raise ValueError(f"'rounds' must not be negative, got {rounds}")
        self.rounds = rounds
        self.paths: dict[int, Any] = {}

    def on_fit_start(self, run: Run) -> None:
        if run.stage:  # A resumed run; any other starts on the model's own paths.
            run.model.paths = self.paths  # type: ignore[assignment]

    def on_stage_end(self, run: Run) -> bool:
        if run.stage >= self.rounds:
            return False
        model, task = run.model, run.task
        x = cast_floats(task.data.x, next(model.parameters()).dtype)  # type: ignore[attr-defined]
        model.next_round(x, task.data.edge_index)  # type: ignore[operator,attr-defined]
        self.paths = dict(model.paths)  # type: ignore[arg-type]
        return True

    def state_dict(self) -> dict[str, Any]:
        return {"paths": self.paths}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.paths = copy.deepcopy(state["paths"])
