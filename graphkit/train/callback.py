"""The hooks through which objectives and schemes join the training loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from graphkit.train.run import Run


class Callback:
    r"""Something that takes part in a :class:`~graphkit.train.Trainer` run.

    Every method has a neutral default, so a callback overrides only what it
    needs.  Hooks receive the :class:`~graphkit.train.Run`: the model, the
    optimizer, the task and the counters.

    Example:
        >>> from graphkit.train import Callback
        >>> class Ridge(Callback):
        ...     def penalty(self, run):
        ...         return 1e-3 * sum(p.square().sum() for p in run.model.parameters())
    """

    def on_fit_start(self, run: Run) -> None:
        """Called once, before the first epoch or right after a checkpoint was loaded."""

    def penalty(self, run: Run) -> Tensor | None:
        """A scalar that is added to the task's loss in every step, or :obj:`None`."""
        return None

    def on_backward_end(self, run: Run) -> None:
        """Called after the gradients are there and before the optimizer uses them."""

    def on_step_end(self, run: Run) -> None:
        """Called after every optimizer step."""

    def on_epoch_end(self, run: Run) -> None:
        """Called after every epoch, when ``run.metrics`` holds its evaluation."""

    def on_stage_end(self, run: Run) -> bool:
        """Called with the best weights restored; :obj:`True` asks for a further stage."""
        return False

    def on_fit_end(self, run: Run) -> None:
        """Called once, after the last stage, with the best weights restored."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs: tensors and plain Python values only."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what :meth:`state_dict` gave, and copies what it will write into."""
