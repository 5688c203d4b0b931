"""A word to the person while kernels are compiled, which takes longer than a first call should."""

from __future__ import annotations

import sys
import threading
from typing import Any

from numba.core import event

from graphkit.ops.cpu.kernels.compiling import cache_folder

DELAY = 2.0


class CompileNotice(event.Listener):
    """Says once per process, on a terminal or in a notebook, that kernels are being compiled.

    Args:
        package (str): Kernels of other modules are passed over.
        delay (float, optional): Seconds that a kernel takes before anything is said.
            (default: :obj:`2.0`)
    """

    def __init__(self, package: str, delay: float = DELAY) -> None:
        super().__init__()
        self.package, self.delay = package, delay
        self.depth = 0
        self.timer: threading.Timer | None = None
        self.said = False

    def on_start(self, started: Any) -> None:
        # Kernels compile the helpers that they call: only the outermost is waited for.
        if self.is_ours(started):
            self.depth += 1
        if self.depth != 1 or self.timer is not None or self.said or not has_reader():
            return
        self.timer = threading.Timer(self.delay, self.say)
        self.timer.daemon = True
        self.timer.start()

    def on_end(self, ended: Any) -> None:
        if self.is_ours(ended):
            self.depth -= 1
        if self.depth == 0 and self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def is_ours(self, happened: Any) -> bool:
        """Whether a kernel of the package is compiled."""
        name = str(happened.data["dispatcher"].py_func.__module__)
        return name.startswith(self.package)

    def say(self) -> None:
        """The words."""
        self.said = True
        folder = cache_folder()
        promise = "" if folder is None else f"; they are kept in {folder}, so this happens once"
        print(
            "graphkit compiles its kernels for this machine, up to half a minute for each op"
            f"{promise}",
            file=sys.stderr,
            flush=True,
        )


def has_reader() -> bool:
    """Whether somebody sees what is printed: in a terminal or a notebook, not in a log."""
    notebook = "ipykernel" in sys.modules
    return notebook or bool(getattr(sys.stderr, "isatty", bool)())
