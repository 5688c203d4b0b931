"""Progress on the screen, or as plain lines where there is none."""

# fingerprint: not counted

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from graphkit.train import Callback, Run


class Display:
    """A bar over all seeds of all recipes, with the epoch of the seed in work.

    Args:
        total (int): Number of seeds over all recipes.
        quiet (bool, optional): Show nothing. (default: :obj:`False`)
    """

    def __init__(self, total: int, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet)
        self.bar = Progress(
            BarColumn(24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            console=self.console,
            transient=True,
        )
        self.row = self.bar.add_task("", total=total)
        self.label = ""

    def __enter__(self) -> Display:
        if self.console.is_terminal:
            self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()

    def start_seed(self, recipe: str, seed: int) -> None:
        """Announces a seed."""
        self.label = f"{recipe}, seed {seed}"
        self.show(self.label)

    def epoch(self, run: Run) -> None:
        """Shows the epoch of the seed in work."""
        stage = f", stage {run.stage + 1}" if run.stage else ""
        self.show(f"{self.label}{stage}, epoch {run.epoch}")

    def show(self, text: str) -> None:
        """Says what is in work."""
        self.bar.update(self.row, description=text)

    def end_seed(self, recipe: str, seed: int, value: float | None) -> None:
        """Advances the bar, and prints a line where no bar can be drawn."""
        self.bar.advance(self.row)
        if not self.console.is_terminal:
            shown = "" if value is None else f"  {value:.4f}"
            self.console.print(f"{recipe}  seed {seed}{shown}", highlight=False, markup=False)

    def keep_seeds(self, recipe: str, count: int) -> None:
        """Advances the bar by seeds that need no run, as the first gave its figures again."""
        self.bar.advance(self.row, count)
        if not self.console.is_terminal:
            text = f"{recipe}  its first seed is as recorded: figures kept, {count} seeds not run"
            self.console.print(text, highlight=False, markup=False)


class EpochWatch(Callback):
    """Passes epochs on to a :class:`Display`, ten times a second at most."""

    def __init__(self, display: Display) -> None:
        self.display, self.shown = display, 0.0

    def on_epoch_end(self, run: Run) -> None:
        now = time.perf_counter()
        if now - self.shown > 0.1:
            self.shown = now
            self.display.epoch(run)
