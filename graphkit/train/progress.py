"""A progress bar for training runs."""

# fingerprint: not counted

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from graphkit.train.callback import Callback

if TYPE_CHECKING:
    from rich.progress import Progress

    from graphkit.train.run import Run


class ProgressBar(Callback):
    """Shows epoch, stage and monitored metrics on standard error, from the second second on.

    Args:
        delay (float, optional): Seconds before the bar appears. (default: :obj:`2.0`)

    Example:
        >>> from graphkit.train import ProgressBar, Trainer
        >>> trainer = Trainer(epochs=5, callbacks=[ProgressBar(delay=0.0)], progress=False)
    """

    def __init__(self, delay: float = 2.0) -> None:
        self.delay = delay
        self.bar: Progress | None = None
        self.started = self.shown = 0.0
        self.row: Any = None

    def on_fit_start(self, run: Run) -> None:
        self.started = self.shown = time.perf_counter()

    def on_epoch_end(self, run: Run) -> None:
        now = time.perf_counter()
        if now - self.started < self.delay or now - self.shown < 0.1:
            return
        self.shown = now
        if self.bar is None:
            self.open(run)
        assert self.bar is not None
        shown = "  ".join(f"{name} {value:.4f}" for name, value in run.metrics.items())
        label = f"stage {run.stage + 1}, epoch {run.epoch}  {shown}"
        self.bar.update(self.row, completed=run.epoch, description=label)

    def open(self, run: Run) -> None:
        """Puts the bar on the screen."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self.bar = Progress(
            BarColumn(20),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=Console(stderr=True),
            transient=True,
        )
        self.row = self.bar.add_task("", total=run.epochs)
        self.bar.start()

    def on_fit_end(self, run: Run) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
