"""How long a seed has run, over all the processes that worked on it."""

# fingerprint: not counted

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness import states
from graphkit.train import Callback

if TYPE_CHECKING:
    from graphkit.train.run import Run

INTERVAL = 5.0


class SpentTime(Callback):
    """Writes down at the end of epochs how long a seed has run, for a process that goes on with it.

    A process that is killed loses what it ran since then, and its epoch is run again.

    Args:
        file (Path): Where it is kept until the seed is done.
        resume (bool): Whether what an earlier process ran counts.
        leads (bool): Whether this process is the one that writes.
    """

    def __init__(self, file: Path, resume: bool, leads: bool) -> None:
        self.file, self.leads = file, leads
        self.before = states.read(file)["seconds"] if resume and file.exists() else 0.0
        self.started = self.written = time.perf_counter()

    @property
    def seconds(self) -> float:
        """What all processes ran."""
        return self.before + time.perf_counter() - self.started

    def on_epoch_end(self, run: Run) -> None:
        if self.leads and time.perf_counter() - self.written > INTERVAL:
            states.write(self.file, {"seconds": self.seconds})
            self.written = time.perf_counter()

    def done(self) -> None:
        """The seed's own file says it from now on."""
        if self.leads:
            self.file.unlink(missing_ok=True)
