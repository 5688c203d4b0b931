"""Commands in processes of their own, to be killed."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.processes import Process

PROGRAM = "import runpy; runpy.run_module('benchmarks', run_name='__main__', alter_sys=True)"


def started(ready: Callable[[], bool], *words: str) -> Process:
    """``python -m benchmarks`` with these words, still at work when something is ready."""
    process = Process(PROGRAM, *words)
    while not ready():
        assert process.poll() is None, f"it ended before it was killed: {process.wait().stderr}"
        time.sleep(0.01)
    return process
